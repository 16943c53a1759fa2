//! An endpoint that needs a token.

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use sluice::agent::token::TokenKeys;

use crate::fixture::*;

#[tokio::test]
async fn only_a_token_of_this_endpoint_that_has_not_expired_opens_it() {
    let replica = Backend::named("open").await;
    let folder = tempfile::tempdir().unwrap();
    let keys = TokenKeys::open(&folder.path().join("tokens.key")).unwrap();
    let gateway = Gateway::start().await;
    let mut locked = routes(&[("a", 0, replica.address)]);
    locked.token_key = Some(keys.of("chat"));
    let port = gateway.route(1, locked).await;
    let client = http_client();
    let asked = async |authorization: Option<String>| {
        let mut request = get(port);
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
        }
        fetch(&client, request).await
    };
    let token =
        |endpoint: &str, expires_at| format!("Bearer {}", keys.of(endpoint).token(expires_at).unwrap());
    for (authorization, word) in [
        (None, "needs a token"),
        (Some("Basic Zm9v".to_owned()), "needs a token"),
        (Some(token("other", Timestamp::MAX)), "does not open"),
        (Some(token("chat", Timestamp::UNIX_EPOCH)), "has expired"),
    ] {
        let refused = asked(authorization).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(refused.headers()[WWW_AUTHENTICATE], "Bearer");
        assert!(refused.body().contains(word), "{}", refused.body());
    }
    assert_eq!(replica.requests(), 0);
    assert_eq!(asked(Some(token("chat", Timestamp::MAX))).await.body(), "open");
    assert!(
        !replica.heads.lock().unwrap()[0].headers.contains_key(AUTHORIZATION),
        "the replica got the token"
    );

    gateway.route(2, routes(&[("a", 0, replica.address)])).await;
    assert_eq!(asked(None).await.body(), "open");
}
