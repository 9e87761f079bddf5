//! A reader of server-sent events that knows no more than the standard does.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

use super::Rig;

/// One event: its id and its data.
pub type Told = (u64, Value);

pub struct Follower {
    answer: Response,
    text: String,
}

impl Follower {
    /// Opens a call's stream, after the event that was seen last.
    pub async fn open(rig: &Rig, call_id: &str, last: Option<u64>) -> Self {
        let answer = ask(rig, call_id, &rig.token, last.map(|last| last.to_string()).as_deref()).await;
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let told = field("id:").zip(field("data:")).map(|(id, data)| (id.parse().unwrap(), serde_json::from_str(data).unwrap()));
                self.text = rest.to_owned();
                match told {
                    Some(told) => return Some(told),
                    None => continue, // a comment
                }
            }
            let piece = tokio::time::timeout(Duration::from_secs(20), self.answer.chunk()).await.expect("an event, or the end");
            let piece = piece.expect("an unbroken stream")?;
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<Told> {
        let mut all = Vec::new();
        while let Some(told) = self.next().await {
            all.push(told);
        }
        all
    }
}

/// The bare answer.
pub async fn ask(rig: &Rig, call_id: &str, token: &str, last: Option<&str>) -> Response {
    let mut request = reqwest::Client::new().get(format!("http://{}/api/calls/{call_id}/events", rig.address())).bearer_auth(token);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.send().await.unwrap()
}

/// What was new, in the words of the events.
pub fn kinds(told: &[Told]) -> Vec<&str> {
    told.iter().flat_map(|(_, state)| state["events"].as_array().unwrap()).map(|kind| kind.as_str().unwrap()).collect()
}
