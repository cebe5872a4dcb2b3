//! A wire between one node and one server that can be cut and mended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Passes bytes on both ways; while it is cut, they wait, as in a network that drops packets.
pub(crate) struct Relay {
    pub(crate) url: String,
    is_cut: Arc<AtomicBool>,
}

impl Relay {
    /// Listens on a free port; a connection goes to the first of `servers` that takes it.
    pub(crate) async fn start(servers: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("nats://{}", listener.local_addr().expect("an address"));
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = Arc::clone(&is_cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, servers.clone(), Arc::clone(&cut)));
            }
        });
        Self { url, is_cut }
    }

    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    pub(crate) fn mend(&self) {
        self.is_cut.store(false, Ordering::Relaxed);
    }
}

async fn carry(client: TcpStream, servers: Vec<SocketAddr>, cut: Arc<AtomicBool>) {
    for server in servers {
        let Ok(Ok(server)) =
            tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(server)).await
        else {
            continue;
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = pass(from_client, to_server, &cut) => {}
            () = pass(from_server, to_client, &cut) => {}
        }
        return;
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    cut: &AtomicBool,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        while cut.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(10)).await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
