//! The yardstick: a plain axum server with default settings that parses each message with serde_json, decodes the payload
//! with base64 and appends it to a file. What anybody would write first. `yardstick_axum FOLDER`

use std::path::PathBuf;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::get;
use base64::Engine as _;
use tokio::io::AsyncWriteExt as _;

#[tokio::main]
async fn main() {
    let folder: PathBuf = std::env::args().nth(1).expect("yardstick_axum FOLDER").into();
    let app = Router::new().route(
        "/twilio/media",
        get(move |upgrade: WebSocketUpgrade| {
            let folder = folder.clone();
            async move { upgrade.on_upgrade(|socket| serve(socket, folder)) }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("listening on http://{}", listener.local_addr().expect("an address"));
    axum::serve(listener, app).await.expect("serves");
}

async fn serve(mut socket: WebSocket, folder: PathBuf) {
    let name = format!("{:p}.ulaw", &raw const socket);
    let mut file = tokio::io::BufWriter::new(tokio::fs::File::create(folder.join(name)).await.expect("a file"));
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(text) = message else { continue };
        let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
        let Some(payload) = value["media"]["payload"].as_str() else { continue };
        let Ok(codes) = base64::engine::general_purpose::STANDARD.decode(payload) else { continue };
        let _ = file.write_all(&codes).await;
    }
    let _ = file.flush().await;
}
