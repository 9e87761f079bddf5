//! `prisma/schema.prisma` says what the migrated PostgreSQL tables are: every table, column, type, key, index and enum.

use std::collections::BTreeSet;

const SCHEMA: &str = include_str!("../../prisma/schema.prisma");

/// One fact a line, in words that both sides can be put in.
type Facts = BTreeSet<String>;

/// Blocks of a kind: their names and their lines, comments left out.
fn blocks(kind: &str) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut found = Vec::new();
    let mut lines = SCHEMA.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    while let Some(line) = lines.next() {
        let name = line.strip_suffix(" {").and_then(|line| line.strip_prefix(kind)).map(str::trim);
        let inside: Vec<_> = if line.ends_with('{') { lines.by_ref().take_while(|line| *line != "}").collect() } else { Vec::new() };
        found.extend(name.map(|name| (name, inside)));
    }
    found
}

fn as_the_schema_says() -> Facts {
    let enums = blocks("enum ");
    let mut facts = Facts::new();
    for (name, words) in &enums {
        facts.insert(format!("enum {name}: {}", words.join(" ")));
    }
    for (table, lines) in blocks("model ") {
        for line in lines {
            if let Some(rest) = line.strip_prefix("@@") {
                let (kind, columns) = rest.trim_end_matches(')').split_once('(').unwrap();
                facts.insert(format!("{table} {kind} {columns}"));
                continue;
            }
            let mut words = line.split_whitespace();
            let (column, kind, rest) = (words.next().unwrap(), words.next().unwrap(), words.collect::<Vec<_>>().join(" "));
            let needed = if kind.ends_with('?') { "may be null" } else { "not null" };
            let kind = match kind.trim_end_matches('?') {
                "String" => "text",
                "BigInt" => "int8",
                "Int" => "int4",
                "Boolean" => "bool",
                "Json" => "jsonb",
                "DateTime" if rest.contains("@db.Timestamptz(3)") => "timestamptz(3)",
                name if enums.iter().any(|(known, _)| *known == name) => name,
                other => panic!("{table}.{column}: {other} is no type of this schema"),
            };
            let default = if rest.contains("@default(") { "with a default" } else { "without a default" };
            facts.insert(format!("{table}.{column}: {kind}, {needed}, {default}"));
            if rest.contains("@id") {
                facts.insert(format!("{table} id [{column}]"));
            }
        }
    }
    facts
}

async fn as_the_tables_are() -> Facts {
    let mut connection = crate::common::databases::connect(&crate::common::databases::fresh().await).await;
    let columns = r#"
      SELECT table_name || '.' || column_name || ': ' || udt_name
        || coalesce(CASE WHEN udt_name = 'timestamptz' THEN '(' || datetime_precision || ')' END, '')
        || CASE is_nullable WHEN 'YES' THEN ', may be null' ELSE ', not null' END
        || CASE WHEN column_default IS NULL THEN ', without a default' ELSE ', with a default' END
      FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> '_sqlx_migrations'"#;
    let enums = r#"
      SELECT 'enum ' || t.typname || ': ' || string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder)
      FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.typname"#;
    let keys = r#"
      SELECT c.relname || CASE WHEN i.indisprimary THEN ' id' WHEN i.indisunique THEN ' unique' ELSE ' index' END || ' ['
        || (SELECT string_agg(a.attname, ', ' ORDER BY k.place) FROM unnest(i.indkey) WITH ORDINALITY AS k(column_no, place)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.column_no) || ']'
      FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = current_schema() AND c.relname <> '_sqlx_migrations'"#;
    let mut facts = Facts::new();
    for question in [columns, enums, keys] {
        facts.extend(sqlx::query_scalar::<_, String>(question).fetch_all(&mut connection).await.unwrap());
    }
    facts
}

#[tokio::test]
async fn the_prisma_schema_says_what_the_tables_are() {
    let (said, are) = (as_the_schema_says(), as_the_tables_are().await);
    let only = |one: &Facts, other: &Facts| one.difference(other).cloned().collect::<Vec<_>>().join("\n  ");
    assert!(said.len() > 80, "{} facts", said.len());
    assert!(said == are, "only in prisma/schema.prisma:\n  {}\nonly in the tables:\n  {}", only(&said, &are), only(&are, &said));
}
