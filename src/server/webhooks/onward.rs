//! Where a call goes once it is decided, and where it goes without us: by what is known here, or by what the main app answers.

use axum::response::Response;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::{About, Form, bridged, bridges, lives, relayed, xml};
use crate::engine::audio::prompts::Prompt;
use crate::engine::twilio::signature;
use crate::engine::twilio::twiml::{self, Next, Otherwise, Route};
use crate::engine::twilio::verbs::{INSTEAD, NotVerbs, Verbs};
use crate::server::config::{InboundRoute, Relays};
use crate::server::http::App;

/// Where a call goes. If the main app gives no answer that can be followed, Twilio asks it itself: the call lives on (P6).
pub(super) async fn next(app: &App, form: &Form, about: &About) -> Next {
    if let Some(announced) = about.announced.as_ref().filter(|announced| bridges(app, about) && lives(app, &announced.identity.call_id)) {
        return Next::Connect(Box::new(bridged(app, announced)));
    }
    if let Some(route) = about.made().and_then(|made| made.connect_to.clone()) {
        return Next::Dial(route);
    }
    let (call_id, state) = (about.id.as_deref(), about.state(app));
    let state = state.as_ref();
    let main_app = match (&app.config.inbound_route, &app.main_app) {
        (Some(InboundRoute::Dial(route)), _) => return Next::Dial(route.clone()),
        (Some(InboundRoute::Relay(bot)), _) => {
            let connect = about.announced.as_ref().map(|announced| relayed(app, about, announced, bot));
            return connect.map_or(Next::Nobody, |connect| Next::Connect(Box::new(connect)));
        }
        (Some(InboundRoute::Ask(_)), Some(main_app)) => main_app,
        (Some(InboundRoute::Ask(_)) | None, _) => return Next::Nobody,
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let status = state.map_or_else(|| "PENDING".to_owned(), |state| text(Some(&state["consent"]["status"])));
    let reason = text(state.map(|state| &state["unrecordedReason"]));
    let ours = [("callId", call_id.unwrap_or_default()), ("consentStatus", &status), ("unrecordedReason", &reason)];
    let mut fields = form.0.clone();
    fields.retain(|(name, _)| ours.iter().all(|(our, _)| our != name));
    fields.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // Signed as Twilio would sign it: what checks Twilio's requests in the main app checks ours.
    let signature = app.config.twilio_auth_token.as_ref();
    let signature = signature.map(|token| signature::sign(token.expose_secret(), main_app.url().as_str(), &fields));
    let why = match main_app.ask(&fields, signature).await.map(|text| Verbs::parse(&text)) {
        Ok(Ok(verbs)) => {
            if !verbs.taken_out().is_empty() {
                let what = verbs.taken_out().join(", ");
                tracing::warn!(
                    call.id = call_id,
                    "main app: its TwiML would take the call's audio past consent; taken out: {what}. {INSTEAD}"
                );
            }
            return Next::Verbs(verbs);
        }
        Ok(Err(why @ NotVerbs::OnlyListens(_))) => {
            tracing::error!(call.id = call_id, "main app: its TwiML is not followed: {why}");
            return Next::Nobody;
        }
        Ok(Err(why)) => why.to_string(),
        Err(why) => why.to_string(),
    };
    tracing::error!(
        call.id = call_id,
        "main app: no TwiML to follow from CALLGATE_INBOUND_ROUTE: {why}. Twilio is told to ask it itself; mend its answer, and give the number a fallback URL"
    );
    Next::Ask(main_app.url().with(&ours))
}

/// A call of which nobody here knows more than what Twilio asks: its people are connected, and nothing is captured.
pub(super) async fn unowned(app: &App, relay: &str, connect_to: Option<Route>, line: Option<&Prompt>, form: &Form) -> Response {
    let next = next_unowned(app, relay, connect_to, form).await;
    xml(twiml::proceed(line, None, &next))
}

pub(super) async fn next_unowned(app: &App, relay: &str, connect_to: Option<Route>, form: &Form) -> Next {
    match party_without_us(&app.world.relays, app.config.inbound_route.as_ref(), relay, connect_to) {
        Some(route) => Next::Dial(route),
        None => next(app, form, &About::default()).await,
    }
}

/// Where a call goes without us, as far as that is known without asking anybody.
pub(super) fn without_us(app: &App, call_id: &str, relay: &str, connect_to: Option<Route>) -> Next {
    match (party_without_us(&app.world.relays, app.config.inbound_route.as_ref(), relay, connect_to), &app.main_app) {
        (Some(route), _) => Next::Dial(route),
        (None, Some(main_app)) => {
            let told = [("callId", call_id), ("consentStatus", "PENDING"), ("unrecordedReason", "SYSTEM_ERROR")];
            Next::Ask(main_app.url().with(&told))
        }
        (None, None) => Next::Nobody,
    }
}

/// Who can take a call that we cannot serve: whoever comes after the bot that had it, whom it was placed for, or who takes inbound calls.
fn party_without_us(relays: &Relays, inbound: Option<&InboundRoute>, relay: &str, connect_to: Option<Route>) -> Option<Route> {
    let then = |name: &str| relays.get(name).and_then(|relay| relay.then.clone());
    then(relay).or(connect_to).or_else(|| match inbound? {
        InboundRoute::Dial(route) => Some(route.clone()),
        InboundRoute::Relay(name) => then(name),
        InboundRoute::Ask(_) => None,
    })
}

/// What stands in the TwiML for when our `action` cannot be asked.
pub(super) fn otherwise(app: &App, about: &About, relay: Option<&str>, action: &str) -> Otherwise {
    let connect_to = about.made().and_then(|made| made.connect_to.clone());
    match without_us(app, about.id.as_deref().unwrap_or_default(), relay.unwrap_or_default(), connect_to) {
        Next::Dial(route) => Otherwise::Dial(route),
        Next::Ask(url) => Otherwise::Ask(url),
        Next::Nobody | Next::Verbs(_) | Next::Connect(_) | Next::Meet(_) | Next::HangUp => Otherwise::Ask(action.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::server::{Given, GivenRelay};

    #[test]
    fn a_call_that_we_cannot_serve_goes_to_whoever_comes_after_its_bot_and_else_where_inbound_calls_go() {
        let bot = |then: Option<&str>| GivenRelay {
            url: "wss://bot.example.com/".into(),
            then: then.map(str::to_owned),
            ..GivenRelay::default()
        };
        let relay = BTreeMap::from([("pay".to_owned(), bot(Some("client:maria"))), ("front".to_owned(), bot(None))]);
        let to = |inbound: &str, relayed: &str, connect_to: Option<&str>| {
            let given = Given { relay: relay.clone(), inbound_route: Some(inbound.to_owned()), ..Given::default() };
            let config = given.meant().unwrap();
            let party = party_without_us(&config.relays, config.inbound_route.as_ref(), relayed, connect_to.and_then(Route::parse));
            party.map(|route| match route {
                Route::Number(text) | Route::Client(text) => text,
            })
        };
        assert_eq!(to("relay:front", "pay", None).as_deref(), Some("maria"), "after its bot");
        assert_eq!(to("client:anna", "pay", Some("+16175550123")).as_deref(), Some("maria"), "which had the call last");
        assert_eq!(to("client:anna", "front", Some("+16175550123")).as_deref(), Some("+16175550123"), "whom it was placed for");
        assert_eq!(to("client:anna", "front", None).as_deref(), Some("anna"), "who takes inbound calls");
        assert_eq!(to("relay:pay", "", None).as_deref(), Some("maria"), "who comes after the bot that takes them");
        assert_eq!(to("https://app.example.com/route", "", None), None, "the main app is asked");
        assert_eq!(to("relay:front", "front", None), None, "there is nobody");
    }
}
