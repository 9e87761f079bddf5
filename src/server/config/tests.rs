//! What may stand in a configuration, and what is said of what may not.

use super::*;

fn refusal(given: Given) -> String {
    given.meant().map(|_| ()).unwrap_err().to_string()
}

#[test]
fn every_default_works_on_one_machine_with_nothing_installed() {
    let config = Given::default().meant().unwrap();
    assert_eq!(config.database_url.as_str(), "sqlite://./callgate-data/callgate.db");
    assert!(config.unannounced && !config.twilio_validate && config.listen.ip().is_loopback());
    assert_eq!(config.table().len(), 51);
}

#[test]
fn a_wrong_value_names_its_key_and_what_is_allowed() {
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        refusal(Given { clock: some("fast"), ..Given::default() }),
        r#"CALLGATE_CLOCK: "fast" is not allowed; allowed is strict or media"#
    );
    assert!(refusal(Given { listen: some("0.0.0.0:80"), ..Given::default() }).contains("without CALLGATE_TWILIO_AUTH_TOKEN"));
    let short = refusal(Given { jwt_secret: some("hunter2"), ..Given::default() });
    assert!(short.contains("CALLGATE_JWT_SECRET") && !short.contains("hunter2"), "{short}");
    let both = Given { jwt_secret: some("0123456789abcdef0123456789abcdef"), jwks_file: some("keys.json"), ..Given::default() };
    let both = refusal(both);
    assert!(both.contains("CALLGATE_JWKS_FILE") && both.contains("one of them needs to be unset") && !both.contains("0123"), "{both}");
    let other = refusal(Given { database_url: some("mysql://u:hunter2@h/d"), ..Given::default() });
    assert!(other.contains("(masked)") && other.contains("postgres://") && !other.contains("hunter2"), "{other}");
    assert!(refusal(Given { max_calls: some("0"), ..Given::default() }).contains("CALLGATE_MAX_CALLS"));
    for seconds in ["0", "4", "61", "on"] {
        assert!(refusal(Given { beep_seconds: some(seconds), ..Given::default() }).contains("CALLGATE_BEEP_SECONDS"), "{seconds}");
    }
    let place = refusal(Given { place: some("California"), ..Given::default() });
    assert!(place.contains("CALLGATE_PLACE") && place.contains("US-CA"), "{place}");
    assert!(refusal(Given { rate_limit: some("50"), ..Given::default() }).contains("CALLGATE_RATE_LIMIT"));
    let from = refusal(Given { twilio_from: some("6175550123"), ..Given::default() });
    assert!(from.contains("CALLGATE_TWILIO_FROM") && from.contains("+16175550123"), "{from}");
    let api = refusal(Given { twilio_api_url: some("http://api.example.com"), ..Given::default() });
    assert!(api.contains("CALLGATE_TWILIO_API_URL") && api.contains("https://"), "{api}");
    let whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let webhook = |url: &str, secret: &str| refusal(Given { webhook_url: some(url), webhook_secret: some(secret), ..Given::default() });
    assert!(webhook("http://app.example.com/events", whsec).contains("CALLGATE_WEBHOOK_URL"), "plain http leaves this machine");
    assert!(webhook("https://app.example.com/events", "").contains("CALLGATE_WEBHOOK_SECRET is needed"));
    let short = webhook("https://app.example.com/events", "whsec_aHVudGVyMg==");
    assert!(short.contains("CALLGATE_WEBHOOK_SECRET") && !short.contains("aHVud"), "{short}");
    assert!(webhook("", whsec).contains("nothing to sign"));
    assert!(Given::from_toml("lissten = \"x\"").is_err(), "unknown keys are refused");
}

#[cfg(not(feature = "kms"))]
#[test]
fn a_key_of_kms_is_refused_where_nobody_can_ask_kms() {
    let refused = refusal(Given { spool_kms_key: Some("alias/callgate".into()), ..Given::default() });
    assert!(
        refused.contains("CALLGATE_SPOOL_KMS_KEY") && refused.ends_with("built without AWS KMS: --features kms is needed"),
        "{refused}"
    );
}

#[cfg(feature = "kms")]
#[test]
fn a_key_of_kms_is_taken_as_it_is_and_its_refresh_has_bounds() {
    let key = |key: &str, refresh: &str| Given {
        spool_kms_key: Some(key.into()),
        spool_kms_refresh_seconds: Some(refresh.into()),
        ..Given::default()
    };
    let config = key("alias/callgate", "").meant().unwrap();
    assert_eq!(config.spool_kms, Some(KmsSpec { key: "alias/callgate".into(), refresh: Duration::from_secs(3_600) }));
    assert!(config.table().contains(&(
        "CALLGATE_SPOOL_KMS_KEY",
        "alias/callgate".to_owned(),
        "key of AWS KMS that wraps the spool's keys; none: keys/spool.key in DATA_DIR does"
    )));
    assert_eq!(key("", "").meant().unwrap().spool_kms, None);
    assert!(refusal(key("alias/x", "0")).contains("CALLGATE_SPOOL_KMS_REFRESH_SECONDS"));
    assert!(refusal(key("two words", "")).contains("alias/NAME"));
}

#[cfg(not(feature = "transcribe"))]
#[test]
fn amazon_transcribe_is_refused_where_nobody_can_ask_it() {
    let refused = refusal(Given { transcriber: Some("aws://us-east-1".into()), ..Given::default() });
    assert!(
        refused.contains("CALLGATE_TRANSCRIBER") && refused.ends_with("built without Amazon Transcribe: --features transcribe is needed"),
        "{refused}"
    );
}

#[test]
fn a_region_that_is_none_is_refused_by_name_and_a_key_in_its_place_is_not_shown() {
    let refused = |text: &str| refusal(Given { transcriber: Some(text.into()), ..Given::default() });
    let region = refused("aws://us-eats-1");
    assert!(region.contains("CALLGATE_TRANSCRIBER") && region.contains("aws://us-eats-1") && region.contains("like us-east-1"), "{region}");
    for secret in ["aws://AKIDEXAMPLE:wJalrXUtnFEMI@us-east-1", "aws://0123456789abcdef0123456789abcdef"] {
        let refused = refused(secret);
        assert!(refused.contains("(masked)") && !refused.contains(secret.strip_prefix("aws://").unwrap()), "{refused}");
    }
}

#[cfg(feature = "transcribe")]
#[test]
fn a_region_of_amazon_transcribe_is_shown() {
    let config = Given { transcriber: Some("aws://us-gov-west-1".into()), ..Given::default() }.meant().unwrap();
    assert!(config.table().contains(&("CALLGATE_TRANSCRIBER", "aws://us-gov-west-1".to_owned(), "which recogniser transcribes")));
}

#[test]
fn secrets_are_masked_in_the_table_and_in_debug() {
    let given = Given {
        twilio_auth_token: Some("supersecrettoken".into()),
        webhook_url: Some("https://app.example.com/events?key=supersecretkey".into()),
        webhook_secret: Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()),
        ..Given::default()
    };
    let config = given.meant().unwrap();
    let table = format!("{:?}", config.table());
    let shown = format!("{table} {config:?}");
    assert!(!shown.contains("supersecrettoken") && !shown.contains("MfKQ9r8GK") && !table.contains("supersecretkey"));
    assert!(config.twilio_validate && !config.unannounced);
}

#[test]
fn what_is_missing_to_place_a_call_is_named() {
    let some = |text: &str| Some(text.to_owned());
    let mut given = Given::default();
    let missing = |given: &Given| given.clone().meant().unwrap().twilio_account().map(|_| ()).unwrap_err();
    assert_eq!(missing(&given), "CALLGATE_TWILIO_ACCOUNT_SID");
    given.twilio_account_sid = some("AC1");
    assert_eq!(missing(&given), "CALLGATE_TWILIO_AUTH_TOKEN");
    given.twilio_auth_token = some("token");
    assert_eq!(missing(&given), "CALLGATE_TWILIO_FROM");
    given.twilio_from = some("+16175550123");
    assert_eq!(missing(&given), "CALLGATE_PUBLIC_URL");
    given.public_url = some("https://gate.example.com");
    assert!(given.clone().meant().unwrap().twilio_account().is_ok());
    let stand_in = Given { public_url: None, twilio_api_url: some("http://127.0.0.1:9"), ..given };
    assert!(stand_in.meant().unwrap().twilio_account().is_ok());
}

#[test]
fn what_is_given_above_wins() {
    let file = Given::from_toml("listen = \"127.0.0.1:1\"\nclock = \"media\"\nmax_calls = 7\nunannounced = false").unwrap();
    let above = Given { listen: Some("127.0.0.1:2".into()), ..Given::default() };
    let config = above.over(file).meant().unwrap();
    assert_eq!((config.listen.port(), config.settings.clock), (2, Clock::Media));
}
