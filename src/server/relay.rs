//! A call's bot: called when the machine says so, with what Twilio would tell it, and heard by the call's own thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::ExposeSecret as _;

use super::media::{MediaHandle, ToMedia};
use super::world::World;
use crate::engine::audio::frame::StreamNo;
use crate::engine::call::{BotSaid, Snapshot, ToBot};
use crate::engine::twilio::message::Start;
use crate::engine::twilio::signature;
use crate::engine::twilio::speaker::Speaker;
use crate::io::relay::{BotLine, Heard, Said};

/// Parameters of a stream that are between Twilio and us.
const OURS: [&str; 6] = ["token", "mode", "relay", "answeredBy", "leg", "transfer"];

/// Calls the bot. It is told the parameters of its stream, whose call it is, and where consent stands at that moment; of a later
/// change Twilio's protocol has no word for it.
pub(super) fn call(world: &World, name: &str, seen: &Snapshot, start: &Start, stream: StreamNo, thread: &MediaHandle) -> Option<BotLine> {
    let relay = world.relays.get(name)?;
    let consent = serde_json::to_value(seen.consent.status).ok()?;
    let mut parameters: BTreeMap<String, String> = start
        .parameters
        .iter()
        .filter(|(name, _)| !OURS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    parameters.insert("callId".to_owned(), seen.identity.call_id.clone());
    parameters.insert("consentStatus".to_owned(), consent.as_str().unwrap_or_default().to_owned());
    parameters.insert("isRecorded".to_owned(), seen.is_recorded.to_string());
    let none: &[(&str, &str)] = &[];
    let signature = world.twilio_token.as_ref().map(|token| signature::sign(token.expose_secret(), relay.url.as_str(), none));
    let speaker = Speaker::new(start.stream_sid.clone(), start.call_sid.clone(), start.account_sid.clone());
    let (call_id, thread): (Arc<str>, _) = (seen.identity.call_id.as_str().into(), thread.clone());
    let hear = move |heard: Heard| {
        if let Said::Lost(why) = heard.said {
            tracing::warn!(call.id = %call_id, "relay: the bot is lost: {why}; look at it, and at its url in the configuration");
        }
        thread.send(ToMedia::Bot(Arc::clone(&call_id), stream, heard));
    };
    Some(BotLine::call(&world.tokio, &relay.url, signature, speaker, parameters, hear))
}

/// What it said, for the machine.
pub(super) fn said(heard: &Heard) -> BotSaid<'_> {
    match &heard.said {
        Said::Audio(codes) => BotSaid::Audio(codes),
        Said::Mark(name) => BotSaid::Mark(name.clone()),
        Said::Clear => BotSaid::Clear,
        Said::Closed => BotSaid::Closed,
        Said::Lost(why) => BotSaid::Lost(why),
    }
}

/// Hands on what the machine has for it.
pub(super) fn tell(bot: Option<&BotLine>, messages: &mut Vec<ToBot>, world: &World) {
    for message in messages.drain(..) {
        if !bot.is_some_and(|bot| bot.send(message)) {
            world.metrics.relay_dropped.inc();
        }
    }
}
