use std::sync::mpsc::channel;

use super::*;
use crate::live::server::Site;

/// A worker on a thread of its own; the site, and what a page gets for an order.
fn site() -> (Arc<ToySite>, impl Fn(&str, Value) -> Result<Value, String>) {
    let recipe = Recipe { hidden: 8, batch: 8, steps: 500, ..Recipe::new(Toy::Ring, Model::WganGp) };
    let (give, take) = channel();
    std::thread::spawn(move || {
        let (site, worker) = Worker::new(Lab::new(recipe).unwrap(), "");
        give.send(site).unwrap();
        worker.run()
    });
    let site = take.recv().unwrap();
    let to = site.clone();
    let order = move |name: &str, body: Value| {
        let done = to.post(&format!("/do/{name}"), &body).expect("a command");
        done.map(|answer| serde_json::from_slice(&answer.body).unwrap())
    };
    (site, order)
}

fn last(site: &Arc<ToySite>) -> Value {
    site.clone().events().flatten().next().unwrap().data
}

#[test]
fn orders_are_obeyed_and_states_come_back() {
    let (site, order) = site();
    order("step", json!({ "steps": 3 })).unwrap();
    order("critic", json!({})).unwrap();
    order("generator", json!({})).unwrap();
    order("set", json!({ "lr": 1e-3, "lr-d": null, "n-dis": 2 })).unwrap();
    let there = last(&site);
    assert_eq!(there["frame"]["script"], "3 d g lr=1e-3 lr-d=3e-3 n-dis=2", "the critic keeps its rate");
    assert_eq!((&there["about"]["toy"], &there["about"]["model"]), (&json!("ring"), &json!("wgan-gp")));
    order("step", json!({ "steps": 2 })).unwrap();
    order("go-to", json!({ "script": "3 d g lr=1e-3 lr-d=3e-3 n-dis=2" })).unwrap();
    let back = last(&site);
    assert_eq!(back["frame"], there["frame"], "the same bits");
    assert!(back["kept"].as_array().unwrap().len() >= 3);
    let number = back["kept"][0][0].as_u64().unwrap();
    let first: Value = serde_json::from_slice(&site.get(&format!("/frame/{number}")).unwrap().body).unwrap();
    assert_eq!(first["step"], 0);
    assert!(site.get("/frame/99999").is_none() && site.get("/frame/x").is_none());
}

/// A page that hears each change as it comes is told what is learnt with the first frame of it.
#[test]
fn every_beginning_is_told() {
    let (site, order) = site();
    let (give, take) = channel();
    let events = site.clone().events();
    std::thread::spawn(move || events.flatten().try_for_each(|event| give.send(event.data)));
    for seed in 1..=20 {
        let seed = seed.to_string();
        let start = json!({ "toy": "ring", "model": "gan", "seed": seed });
        order("start", start).unwrap();
        let told = take.iter().find(|data| data["about"]["seed"] == seed).unwrap();
        assert_eq!(told["frame"]["script"], "");
        order("step", json!({ "steps": 1 })).unwrap();
    }
}

#[test]
fn a_slow_step_and_a_tape_are_told() {
    let (site, order) = site();
    let told = order("slow", json!({})).unwrap();
    assert_eq!((told["stages"].as_array().unwrap().len(), told["real"].as_array().unwrap().len()), (10, 8));
    assert_eq!(last(&site)["frame"]["script"], "1");
    let called = |tape: &Value| -> Vec<String> {
        let entries = tape["entries"].as_array().unwrap().iter();
        let words = |entry: &Value| [entry["inputs"].clone(), json!([entry["called"].clone()])];
        let names = entries.flat_map(words).flat_map(|words| words.as_array().cloned().unwrap_or_default());
        names.filter_map(|name| name.as_str().map(String::from)).collect()
    };
    let of_generator = called(&order("tape", json!({ "critic": false, "script": "1" })).unwrap());
    let expected = ["z", "G.0.weight", "G.3.bias", "(D.0.weight)ᵀ", "(D.3.weight)ᵀ", "D.3.bias"];
    assert!(expected.iter().all(|name| of_generator.iter().any(|found| found == name)), "{of_generator:?}");
    let tape = order("tape", json!({ "critic": true, "script": "1" })).unwrap();
    assert!(tape["entries"].as_array().unwrap().len() > 50);
    let of_critic = called(&tape);
    let expected = ["x and G(z)", "x̂", "D.0.weight", "D.3.bias"];
    assert!(expected.iter().all(|name| of_critic.iter().any(|found| found == name)), "{of_critic:?}");
    assert_eq!(last(&site)["frame"]["script"], "1", "a tape is a trial");
    order("critic", json!({})).unwrap();
    assert_eq!(last(&site)["frame"]["losses"][0], tape["loss"], "of the update that comes next");
    order("step", json!({ "steps": 5 })).unwrap();
    let earlier = order("tape", json!({ "critic": true, "script": "1" })).unwrap();
    assert_eq!((&earlier["loss"], &last(&site)["frame"]["script"]), (&tape["loss"], &json!("1 d 5")));
    let optimum = order("optimum-at", json!({ "script": "1 d" })).unwrap();
    order("optimum", json!({})).unwrap();
    order("go-to", json!({ "script": "1 d" })).unwrap();
    assert_eq!(last(&site)["frame"]["optimum"], optimum);
}

/// What a page changes while it plays is changed, and it plays on.
#[test]
fn rates_change_while_it_plays() {
    let (site, order) = site();
    order("play", json!({ "steps": 1 })).unwrap();
    order("set", json!({ "lr": 1e-4, "lr-d": null, "n-dis": null })).unwrap();
    order("optimum", json!({})).unwrap();
    let now = last(&site);
    let rates = json!({ "lr": 1e-4, "lr_d": 3e-3, "n_dis": 1 });
    assert_eq!((&now["frame"]["rates"], &now["playing"]), (&rates, &json!(true)));
    order("pause", json!({})).unwrap();
    order("step", json!({ "steps": 500 })).unwrap();
    for name in ["step", "play", "critic", "generator", "slow"] {
        let body = if ["step", "play"].contains(&name) { json!({ "steps": 1 }) } else { json!({}) };
        assert!(order(name, body).unwrap_err().contains("all 500 steps are made"), "{name}");
    }
}

/// The same method keeps what it was told; another has what is usual for it; what is said counts.
#[test]
fn a_restart_keeps_what_it_began_with() {
    let (site, order) = site();
    let recipe = |more: Value| {
        let mut start = json!({ "toy": "grid", "model": "sngan", "seed": "18446744073709551615" });
        start.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        order("start", start).unwrap();
        last(&site)["about"]["command"].as_str().unwrap().replace(" --hidden 8 --batch 8 --steps 500", "")
    };
    let seeded = |model: &str| format!("gan toy grid --model {model} --seed 18446744073709551615");
    assert_eq!(recipe(json!({})), format!("{} --live", seeded("sngan")));
    let told = format!("{} --lipschitz 5e0 --n-dis 2 --lr 2e-3 --lr-d 1e-4 --live", seeded("sngan"));
    assert_eq!(recipe(json!({ "number": 5.0, "n-dis": 2, "lr": 2e-3, "lr-d": 1e-4 })), told);
    assert_eq!(recipe(json!({})), told);
    let without = format!("{} --lipschitz 5e0 --n-dis 2 --lr 2e-3 --live", seeded("sngan"));
    assert_eq!(recipe(json!({ "lr-d": 2e-3 })), without, "one rate for both");
    assert_eq!(recipe(json!({ "model": "wgan" })), format!("{} --live", seeded("wgan")));
    assert_eq!(last(&site)["about"]["number"], 0.1);
    assert_eq!(last(&site)["about"]["usual"]["sngan"], json!({ "lr": 1e-3, "n_dis": 1, "number": 20.0 }));
}

/// A page that begins after a fault says which.
#[test]
fn a_note_comes_with_the_beginning() {
    let recipe = Recipe { hidden: 8, batch: 8, ..Recipe::new(Toy::Ring, Model::WganGp) };
    let mut lab = Lab::new(recipe).unwrap();
    let fault = lab.go_to(&"lr=1e30 lr-d=1e30 9".parse().unwrap()).unwrap_err().to_string();
    let (site, _worker) = Worker::new(lab, &fault);
    let now = last(&site);
    assert!(now["note"] == fault && fault.contains("diverged"), "{now}");
    assert_ne!(now["frame"]["script"], "");
}

#[test]
fn other_data_begin_anew_and_what_is_none_is_refused() {
    let (site, order) = site();
    order("play", json!({ "steps": 5 })).unwrap();
    let start = json!({ "toy": "drawn", "points": "0.5,0.5 -0.5,0", "model": "sngan", "seed": "7" });
    order("start", start).unwrap();
    let now = last(&site);
    assert_eq!((&now["frame"]["step"], &now["about"]["k"], &now["playing"]), (&json!(0), &json!(20.0), &json!(false)));
    assert!(now["about"]["command"].as_str().unwrap().contains("--points '0.5,0.5 -0.5,0'"), "{}", now["about"]);
    for (name, body, reason) in [
        ("start", json!({ "toy": "x", "model": "gan", "seed": "0" }), "x"),
        ("start", json!({ "toy": "drawn", "points": "9,9", "model": "gan", "seed": "0" }), "expected x,y within"),
        ("start", json!({ "toy": "ring", "model": "x", "seed": "0" }), "x"),
        ("start", json!({ "toy": "ring", "model": "gan", "seed": "" }), "the seed is \"\"; expected 0 to 18446"),
        ("set", json!({ "lr": -1.0, "lr-d": null, "n-dis": null }), "expected"),
        ("go-to", json!({ "script": "x" }), "expected a number of steps"),
        ("fly", json!({}), "unknown variant `fly`"),
        ("step", json!({ "steps": 1, "more": 2 }), "unknown field `more`"),
    ] {
        let error = order(name, body).unwrap_err();
        assert!(error.contains(reason), "{name}: {error}");
    }
    assert_eq!(last(&site)["frame"]["script"], "");
}
