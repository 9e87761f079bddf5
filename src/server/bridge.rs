//! The other party of a bridged call: called through Twilio's REST API when the client has answered, joined on the call's own thread, and
//! hung up on with it. If a leg only breaks, both go on in one conference, whose name stands in both TwiMLs (P6).

use std::sync::Arc;

use tokio::runtime::Handle;

use super::media::{MediaHandle, SocketKey, ToMedia};
use super::registry::Registry;
use super::webhooks::{PARTY, PARTY_STATUS};
use crate::engine::call::{Leg, Speech};
use crate::engine::time::{MediaTime, Tick};
use crate::engine::twilio::twiml::Route;
use crate::io::main_app::AppUrl;
use crate::io::twilio_rest::{NewCall, TwilioRest};

/// What a bridged call needs of the world.
pub struct Bridging {
    /// Twilio's REST API.
    pub twilio: TwilioRest,
    /// How Twilio sees this gateway.
    pub public_url: Arc<str>,
    /// Whom inbound calls are connected to.
    pub route: Option<Route>,
    /// What Twilio asks where the other party is to go when it cannot ask us.
    pub fallback: Option<AppUrl>,
}

/// The other party's leg, on the call's thread.
pub(super) struct Party {
    /// Its socket.
    pub(super) socket: SocketKey,
    /// Twilio's id of its call.
    pub(super) call_sid: String,
    leg: Leg,
}

impl Party {
    pub(super) fn new(socket: SocketKey, call_sid: String, now: Tick) -> Self {
        Self { socket, call_sid, leg: Leg::new(now) }
    }

    /// A message of it. `false` if nothing is to be made of it.
    pub(super) fn media(&mut self, now: Tick, chunk: u64, timestamp: MediaTime, samples: usize) -> bool {
        self.leg.media(now, chunk, timestamp, samples)
    }

    /// What the client says.
    pub(super) fn hear(&mut self, codes: &[u8]) {
        self.leg.hear(codes);
    }

    /// A line of ours, over what the client says.
    pub(super) fn speak_over(&mut self, codes: &'static [u8]) {
        self.leg.speak_over(codes);
    }

    /// What is to be played to it now.
    pub(super) fn due(&mut self, now: Tick, play: impl FnMut(Speech)) {
        self.leg.due(now, play);
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.leg.dropped()
    }
}

/// Calls the other party. If that fails, the call's thread is told.
pub(super) fn call(tokio: &Handle, bridging: Option<&Arc<Bridging>>, registry: &Registry, call_id: &str, thread: &MediaHandle) {
    let route = registry.announced(call_id).and_then(|announced| announced.made).and_then(|made| made.connect_to);
    let Some((bridging, route)) =
        bridging.and_then(|bridging| route.or_else(|| bridging.route.clone()).map(|route| (Arc::clone(bridging), route)))
    else {
        return; // it comes by itself: a stream of somebody else's making
    };
    let (call_id, thread) = (call_id.to_owned(), thread.clone());
    tokio.spawn(async move {
        let to = match route {
            Route::Number(number) => number,
            Route::Client(id) => format!("client:{id}"),
        };
        let url = |path: &str| format!("{}{path}?callId={call_id}", bridging.public_url);
        let (voice_url, status_url) = (url(PARTY), url(PARTY_STATUS));
        // The client's leg falls into the conference of this name: whoever answers there leads this party to it.
        let fallback = bridging.fallback.as_ref().map(|url| url.with(&[("callId", &call_id), ("conference", &call_id)]));
        let call = NewCall { to: &to, voice_url: &voice_url, fallback_url: fallback.as_deref(), status_url: &status_url, screened: false };
        match bridging.twilio.call(call).await {
            Ok(call_sid) => thread.send(ToMedia::PartyCalled(call_id, call_sid)),
            Err(why) => {
                tracing::error!(call.id = %call_id, error = %why.kind(), "bridge: the other party could not be called");
                thread.send(ToMedia::PartyGone(call_id, "it could not be called"));
            }
        }
    });
}

/// Ends a leg at Twilio. If Twilio cannot be asked, the leg goes on in the conference, alone.
pub(super) fn hang_up(tokio: &Handle, bridging: Option<&Arc<Bridging>>, call_sid: &str) {
    let Some(bridging) = bridging.cloned().filter(|_| !call_sid.is_empty()) else { return };
    let call_sid = call_sid.to_owned();
    tokio.spawn(async move {
        if let Err(why) = bridging.twilio.complete(&call_sid).await {
            tracing::warn!(call.sid = %call_sid, error = %why.kind(), "bridge: a leg could not be hung up on");
        }
    });
}
