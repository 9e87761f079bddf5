//! A tokio TCP sink that only reads: what the sockets alone cost.

use tokio::io::AsyncReadExt as _;

#[tokio::main]
async fn main() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("listening on http://{}", listener.local_addr().expect("an address"));
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut buffer = vec![0; 4_096];
            while matches!(stream.read(&mut buffer).await, Ok(count) if count > 0) {}
        });
    }
}
