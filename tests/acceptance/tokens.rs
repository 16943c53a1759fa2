//! Tokens that open an endpoint for a while: an ephemeral resource.

use super::world::World;

/// Uses a token where Terraform allows it, and shows a part of it that is no secret.
const TOKEN: &str = "
ephemeral \"sluice_endpoint_token\" \"chat\" {
  endpoint  = sluice_endpoint.chat.name
  valid_for = \"10m\"
}

check \"the_endpoint_needs_a_token\" {
  assert {
    condition     = startswith(ephemeral.sluice_endpoint_token.chat.token, \"sluice1.\")
    error_message = \"no token\"
  }
}
";

#[test]
fn an_endpoint_with_a_token_answers_nobody_without_one() {
    let (world, config) = World::applied(|config| config.with("endpoint.local", "{ token_required = true }"));
    let url = world.endpoint("chat").url;
    let ask = |token: Option<&str>| {
        world.block_on(async {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let mut request = client.get(format!("{url}/health"));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            request.send().await.unwrap().status()
        })
    };
    assert_eq!(ask(None), 401);
    assert_eq!(ask(Some("sluice1.9999999999.x.y")), 401);
    let life = sluice::spec::TimeSpan::from_seconds(60);
    let endpoint = sluice::spec::EndpointName::new("chat").unwrap();
    let engine = world.engine();
    let issued = world.block_on(engine.cloud.issue_token(&endpoint, life)).unwrap();
    assert_eq!(ask(Some(&issued.token)), 200);
    world.plans_nothing();
    world.write(&config.with("endpoint.local", "{ token_required = false }"));
    world.apply();
    assert_eq!(ask(None), 200);
}

#[test]
fn a_token_is_opened_in_plan_and_apply_and_kept_nowhere() {
    let (world, _) = World::applied(|config| config.with("endpoint.local", "{ token_required = true }"));
    world.add("token.tf", TOKEN);
    let output = world.terraform(&["plan", "-out=plan"]).succeeded();
    assert!(
        output.stdout.contains("ephemeral.sluice_endpoint_token.chat: Opening complete"),
        "{}",
        output.stdout
    );
    let output = world.apply();
    assert!(
        output.stdout.contains("ephemeral.sluice_endpoint_token.chat: Closing complete"),
        "{}",
        output.stdout
    );
    for name in ["terraform.tfstate", "plan"] {
        let bytes = std::fs::read(world.path("tf").join(name)).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("sluice1."), "a token is in {name}");
    }
    let shown = world.terraform(&["show", "-json", "plan"]).succeeded().stdout;
    assert!(!shown.contains("sluice1."), "a token is in the plan");
}

#[test]
fn an_endpoint_that_needs_no_token_gets_none() {
    let (world, _) = World::applied(|config| config);
    world.add("token.tf", TOKEN);
    world.terraform(&["plan"]).failed_with(&["No token was issued", "it has no `token_required = true`"]);
    world.add("token.tf", &TOKEN.replace("10m", "25h"));
    world.terraform(&["validate"]).failed_with(&["A token lives for 1 second to 24 hours"]);
}
