//! The program over real sockets, as a browser uses it.

use tidecast::Hub;
use tidecast_test::{EventStream, request};
use tokio::net::TcpListener;

#[tokio::test]
async fn only_admins_read_analytics() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, super::app(Hub::new())).into_future());

    let login = request(address, "POST", "/login", &[], b"").await;
    assert!(login.head.header("set-cookie").is_some_and(|cookie| cookie.starts_with("user=admin;")), "{login:?}");

    for refused in ["/stream?channel=analytics", "/stream?channel=users.social&channel=analytics"] {
        let response = request(address, "GET", refused, &[("Cookie", "user=guest")], b"").await;
        assert_eq!(response.problem(403), "`analytics` is for admins");
    }

    let mut guest = EventStream::open(address, "/stream?channel=users.social", &[]).await;
    let both = "/stream?channel=analytics&channel=users.social";
    let mut admin = EventStream::open(address, both, &[("Cookie", "user=admin")]).await;
    guest.until_live().await;
    admin.until_live().await;
    assert_eq!(request(address, "POST", "/publish", &[], b"").await.head.status, 204);
    assert_eq!(guest.message().await.data, r#"{"status":"Life is good!"}"#);
    admin.data_until(r#"{"active_users":100}"#).await;
}
