//! What a call was held to when it was placed: read from its line in the chain, since its numbers are kept nowhere.

use super::backend::on;
use super::{Database, DatabaseError};
use crate::engine::policy::Class;

impl Database {
    /// The version of the policy, and the class that it gave a call of ours. `None` of a call from before there were policies.
    ///
    /// # Errors
    /// [`DatabaseError::Query`], or [`DatabaseError::Row`].
    pub async fn placed_under(&self, call_id: &str) -> Result<Option<(String, Class)>, DatabaseError> {
        let found: Option<(String,)> = on!(&self.readers, pool => {
            let query = sqlx::query_as(
                r#"SELECT "entry" FROM "AuditEvent" WHERE "callId" = $1 AND "kind" = 'call.placed' ORDER BY "seq" LIMIT 1"#,
            );
            query.bind(call_id).fetch_optional(pool).await?
        });
        let Some((entry,)) = found else { return Ok(None) };
        let entry: serde_json::Value = serde_json::from_str(&entry).map_err(|_| DatabaseError::Row("AuditEvent"))?;
        let detail = &entry["detail"];
        let class = serde_json::from_value(detail["policyClass"].clone()).ok();
        Ok(detail["policyVersion"].as_str().map(str::to_owned).zip(class))
    }
}
