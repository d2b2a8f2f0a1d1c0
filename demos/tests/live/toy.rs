//! The page of a toy.

use super::browser::Browser;
use super::{Program, look};

#[test]
#[ignore = "needs Chromium: .ci/run runs it"]
fn a_toy() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), "toy ring --model wgan-gp --hidden 32 --seed 3 --live");
    let mut browser = Browser::start();
    browser.open(&program.url, 1280);
    browser.wait_for("document.getElementById('command').textContent.includes('--seed 3')");
    browser.press("play");
    browser.wait_for("Number(document.getElementById('step').textContent) >= 100");
    browser.press("pause");
    browser.wait_for("document.getElementById('status').textContent === 'paused'");
    let step = browser.number("step");
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(browser.number("step"), step);
    for id in ["w1", "bound", "steepest", "modes", "good"] {
        assert!(browser.text(id).chars().any(|c| c.is_ascii_digit()), "{id}: {}", browser.text(id));
    }

    // Single updates leave the step as it is, and stand in the command.
    // They come in their order, though they are given faster than they are answered.
    browser.value("['critic-alone', 'generator-alone', 'one'].forEach((id) => $(id).click())");
    browser.wait_for(&format!("document.getElementById('step').textContent === '{}'", step + 1.0));
    let command = browser.text("command");
    assert_eq!(command, format!("gan toy ring --model wgan-gp --seed 3 --hidden 32 --live --play \"{step} d g 1\""));
    let w1 = browser.text("w1");
    browser.value("document.getElementById('layer-pairing').click()");
    browser.value("document.getElementById('layer-optimum').click()");
    browser.wait_for("lab.frame.optimum !== undefined");
    browser.value("document.getElementById('layer-optimum').click()");
    look(&mut browser, "toy");
    browser.set_width(1280);

    // A tape, forward and back.
    browser.press("tape-critic");
    browser.wait_for("lab.tape.length > 50");
    let first = browser.text("tape-entry");
    assert!(first.starts_with("0 = D.0.weight: var()") && first.contains("shape ("), "{first}");
    for name in ["matmul(x and G(z), ", "x̂: var()", " gives D.3.bias its gradient"] {
        assert!(browser.text("tape-list").contains(name), "{name}");
    }
    browser.value("showEntry(lab.tape.findIndex((entry) => entry.kind === 'rule'))");
    assert!(browser.text("tape-entry").contains("gradient that arrives"), "{}", browser.text("tape-entry"));
    look(&mut browser, "toy-tape");
    browser.set_width(1280);

    // Slow motion has a caption to each stage, and is one step.
    let top = browser.value("$('plane').getBoundingClientRect().top");
    browser.press("slow");
    browser.wait_for("document.getElementById('caption').textContent.startsWith('D 3/10')");
    assert_eq!(browser.value("$('plane').getBoundingClientRect().top"), top, "the plane stays where it is");
    browser.press("slow-on");
    browser.press("slow-back");
    browser.wait_for("document.getElementById('caption').textContent.startsWith('D 3/10')");
    look(&mut browser, "toy-slow");
    browser.set_width(1280);
    // Held since it was turned by hand.
    assert!(browser.text("caption").starts_with("D 3/10"), "{}", browser.text("caption"));
    assert_eq!(browser.text("slow-hold"), "Run");
    browser.press("slow-hold");
    browser.wait_for("document.getElementById('caption').textContent.startsWith('D 4/10')");
    browser.value("endSlow()");
    assert_eq!(browser.number("step"), step + 2.0);
    stages(&mut browser, 10);

    // An earlier state is looked at, and gone on from.
    browser.value("(() => { const t = $('time'); t.value = 1; t.dispatchEvent(new Event('input')) })()");
    browser.wait_for(&format!("Number(document.getElementById('step').textContent) < {step}"));
    let earlier = (browser.text("command"), browser.text("w1"), browser.text("steepest"));
    browser.press("go-back");
    browser.wait_for(
        "document.getElementById('go-back').disabled && !lab.looksBack && lab.last.script === lab.frame.script",
    );
    assert_eq!((browser.text("command"), browser.text("w1"), browser.text("steepest")), earlier);

    // Rates of one's own, and data.
    browser.value("$('lr').value = 0.0005");
    browser.press("set");
    browser.wait_for("document.getElementById('command').textContent.includes('lr=5e-4')");
    browser.value("(() => { $('toy').value = 'drawn'; $('toy').dispatchEvent(new Event('change')) })()");
    let stroke = "(() => { const p = $('plane'), b = p.getBoundingClientRect(); for (let i = 0; i < 9; i++) \
        p.dispatchEvent(new PointerEvent('pointermove', { buttons: 1, clientX: b.left + b.width * (0.2 + 0.07 * i), \
        clientY: b.top + b.height * 0.3 })) })()";
    browser.value(stroke);
    browser.value("$('model').value = 'gan'");
    browser.press("start");
    // Between the nine places where the pen was, the line is closed: 1.57 long, a point every 0.06 to 0.07.
    browser.wait_for("lab.about.toy === 'drawn' && lab.about.centres.length >= 20");
    let drawn = browser.text("command");
    assert!(drawn.starts_with("gan toy --points '-0.8"), "{drawn}");
    assert!(browser.text("pen-count").ends_with(" of 100 points."), "{}", browser.text("pen-count"));
    browser.press("play");
    browser.wait_for("Number(document.getElementById('step').textContent) > 300");
    browser.value("document.getElementById('layer-pairing').click()");
    look(&mut browser, "toy-drawn");
    browser.value("document.getElementById('layer-optimum').click()");
    browser.wait_for("lab.frame.optimum !== undefined");
    assert!(browser.text("low").starts_with("D* = 0"), "{}", browser.text("low"));
    look(&mut browser, "toy-optimum");
    stages(&mut browser, 9);
    browser.value("document.getElementById('layer-optimum').click()");

    // An experiment is made once somebody has said what will come of it.
    assert!(browser.text("question").contains("300 updates") && browser.text("verdict").is_empty());
    browser.value("document.querySelector('#choices button').click()");
    browser.wait_for("document.getElementById('verdict').textContent.startsWith('No, the answer is “W₁ stays')");
    browser.wait_for("lab.about.toy === 'ring' && lab.frame.script.length === 2 * 300 - 1");
    assert!(browser.number("bound") > 0.8 * browser.number("w1"), "{}", browser.text("bound"));
    look(&mut browser, "toy-experiment");
    drop(browser);

    // The command leads to the same state.
    let arguments = shlex::split(&command).unwrap();
    let again = Program::start_with(dir.path(), &arguments[1..]);
    let mut browser = Browser::start();
    browser.open(&again.url, 1280);
    browser.wait_for(&format!("document.getElementById('step').textContent === '{}'", step + 1.0));
    assert_eq!((browser.text("command"), browser.text("w1")), (command, w1));
    browser.check();

    // So does that of a drawing, whose first x is negative; its points are there to restart with.
    let arguments = shlex::split(&drawn).unwrap();
    let again = Program::start_with(dir.path(), &arguments[1..]);
    browser.open(&again.url, 1280);
    browser.wait_for("lab.about !== null && lab.about.toy === 'drawn'");
    assert_eq!(browser.text("command"), drawn);
    browser.press("start");
    browser.wait_for("lab.last.step === 0 && document.getElementById('note').textContent === ''");
    assert_eq!(browser.text("command"), drawn);
    browser.check();
}

const STEP: &str = "Number(document.getElementById('step').textContent)";

/// Types into a field as a person does.
#[track_caller]
fn type_into(browser: &mut Browser, id: &str, text: &str) {
    let typed = format!(
        "(() => {{ const f = $('{id}'); f.focus(); f.value = '{text}'; \
        f.dispatchEvent(new Event('input')); f.blur() }})()"
    );
    browser.value(&typed);
}

/// Drags the slider to the state of this place among those that are kept.
#[track_caller]
fn look_back(browser: &mut Browser, place: u32) {
    browser
        .value(&format!("(() => {{ const t = $('time'); t.value = {place}; t.dispatchEvent(new Event('input')) }})()"));
    browser.wait_for(&format!("lab.looksBack && lab.number === lab.kept[{place}][0]"));
}

/// Rates are changed while it plays, one without the other, and a restart keeps what the program was started with.
#[test]
#[ignore = "needs Chromium: .ci/run runs it"]
fn rates_and_restarts_of_a_toy() {
    let dir = tempfile::tempdir().unwrap();
    let flags = "toy ring --model sngan --seed 18446744073709551615 --lipschitz 5e0 --hidden 16 --batch 16 --n-dis 2";
    let program = Program::start(dir.path(), &format!("{flags} --live"));
    let mut browser = Browser::start();
    browser.open(&program.url, 1280);
    browser.wait_for("lab.frame !== null");
    browser.press("play");
    browser.wait_for(&format!("{STEP} > 20"));
    type_into(&mut browser, "lr", "0.01");
    // Frames come meanwhile, and leave what is typed.
    let step = browser.number("step");
    browser.wait_for(&format!("{STEP} > {step} + 20"));
    assert_eq!(browser.value("[$('lr').value, $('lr-d').value]"), serde_json::json!(["0.01", "0.001"]));
    browser.press("set");
    browser.wait_for("lab.frame.rates.lr === 0.01 && lab.frame.rates.lr_d === 0.001");
    let step = browser.number("step");
    browser.wait_for(&format!("{STEP} > {step} && lab.playing"));
    assert!(browser.text("command").contains(" lr=1e-2 lr-d=1e-3 "), "{}", browser.text("command"));
    // Nothing to apply stops nothing; what is no rate is refused in words.
    browser.press("set");
    assert!(browser.text("note").starts_with("Nothing to apply"), "{}", browser.text("note"));
    type_into(&mut browser, "n-dis", "2.5");
    browser.press("set");
    let note = browser.text("note");
    assert_eq!(note, "updates of D a step: found 2.5; expected a whole number from 1 to 100");
    assert_eq!(browser.value("lab.playing"), true);
    browser.press("pause");
    browser.wait_for("!lab.playing");
    type_into(&mut browser, "n-dis", "2");

    // What the fields say is begun with: the rates that were applied, K, and a seed of 64 bits.
    browser.press("start");
    browser.wait_for("lab.last.step === 0 && lab.frame.step === 0");
    let flags =
        "gan toy ring --model sngan --seed 18446744073709551615 --lipschitz 5e0 --hidden 16 --batch 16 --n-dis 2";
    assert_eq!(browser.text("command"), format!("{flags} --lr 1e-2 --lr-d 1e-3 --live"));
    type_into(&mut browser, "number", "7");
    type_into(&mut browser, "lr-d", "0.01");
    browser.press("start");
    browser.wait_for("lab.about.number === 7");
    assert_eq!(browser.text("command"), format!("{} --lr 1e-2 --live", flags.replace("5e0", "7e0")));
    type_into(&mut browser, "seed", "");
    browser.press("start");
    assert_eq!(browser.text("note"), "seed: found nothing; expected a whole number from 0 on");
    // Another method begins with what is usual for it, and has another number.
    type_into(&mut browser, "seed", "1");
    browser.value("(() => { $('model').value = 'wgan-gp'; $('model').dispatchEvent(new Event('change')) })()");
    assert_eq!((browser.text("number-name"), browser.value("$('lr').value")), ("penalty λ".into(), "0.003".into()));
    browser.press("set");
    assert!(browser.text("note").contains("begins with a restart"), "{}", browser.text("note"));
    browser.press("start");
    browser.wait_for("lab.about.model === 'wgan-gp'");
    assert_eq!(browser.text("command"), "gan toy ring --model wgan-gp --seed 1 --hidden 16 --batch 16 --live");
    look(&mut browser, "toy-rates");
}

/// Whatever is done while an earlier state is shown is done to that state; it stays shown while others come and go.
#[test]
#[ignore = "needs Chromium: .ci/run runs it"]
fn earlier_states_of_a_toy() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), "toy --hidden 16 --batch 16 --steps 3000 --live");
    let mut browser = Browser::start();
    browser.open(&program.url, 1280);
    browser.wait_for("lab.frame !== null && lab.about.toy === 'ring'");
    for step in 1..=6 {
        browser.press("one");
        browser.wait_for(&format!("{STEP} === {step}"));
    }
    look_back(&mut browser, 3);
    assert_eq!(browser.number("step"), 3.0);
    // The tape is that of the state that is shown.
    browser.press("tape-critic");
    browser.wait_for("lab.tape.length > 50");
    let note = browser.text("tape-note");
    assert!(note.starts_with("The update that “D only” would make at step 3: "), "{note}");
    let loss = browser.value(
        "fetch('do/tape', { method: 'POST', headers: { 'Content-Type': 'application/json' }, \
        body: JSON.stringify({ critic: true, script: '3' }) }).then((a) => a.json()).then((told) => short(told.loss))",
    );
    assert!(note.contains(&format!(" loss {}.", loss.as_str().unwrap())), "{note} {loss}");
    // So is D*, and what is shown under that name is nothing else.
    browser.value("document.getElementById('layer-optimum').click()");
    browser.wait_for("lab.frame.optimum !== undefined && lab.frame.step === 3");
    browser.value("document.getElementById('layer-optimum').click()");
    browser.press("one");
    browser.wait_for(&format!("{STEP} === 4 && !lab.looksBack && lab.last.script === '4'"));
    assert_eq!(browser.value("$('tape-box').hidden || $('tape-box').classList.contains('stale')"), true);

    // Rates that are applied there, too, and the slow step; scrubbing ends slow motion.
    look_back(&mut browser, 2);
    type_into(&mut browser, "lr-d", "0.01");
    browser.press("set");
    browser.wait_for("lab.frame.script === '2 lr-d=1e-2' && !lab.looksBack");
    look_back(&mut browser, 1);
    browser.press("slow");
    browser.wait_for("!document.getElementById('slow-box').hidden && lab.last.script === '2'");
    look_back(&mut browser, 0);
    assert_eq!(browser.value("[lab.slow, plane.overlay, lab.frame.step]"), serde_json::json!([null, null, 0]));

    // A state that is looked at stays, at its place of the slider, while every second of the others goes.
    browser.press("one");
    browser.wait_for(&format!("{STEP} === 1"));
    look_back(&mut browser, 0);
    browser.value("(async () => { for (let i = 0; i < 420; i++) await command('do/step', { steps: 1 }); })()");
    browser.wait_for("lab.last.step === 421 && lab.kept.length < 400");
    assert_eq!(browser.value("[lab.frame.step, lab.kept[$('time').value][1]]"), serde_json::json!([0, 0]));
    let odd = browser.value("lab.kept.findIndex(([, step]) => step > 300)").as_u64().unwrap();
    look_back(&mut browser, odd as u32);
    let step = browser.value("lab.frame.step");
    browser.value("(async () => { for (let i = 0; i < 420; i++) await command('do/step', { steps: 1 }); })()");
    browser.wait_for("lab.last.step === 841");
    assert_eq!(browser.value("[lab.frame.step, lab.kept[$('time').value][1]]"), serde_json::json!([step, step]));
    // A restart from elsewhere ends the looking.
    browser.value("command('do/start', { toy: 'ring', model: 'gan', seed: '0' })");
    browser.wait_for("lab.about.model === 'gan' && $('go-back').disabled && !lab.looksBack");
    browser.check();

    // A state after a fault has a page, and its note.
    let faulty = Program::start_with(
        dir.path(),
        &["toy", "--hidden", "16", "--live", "--play", "lr=1e30 lr-d=1e30 9"].map(String::from),
    );
    browser.open(&faulty.url, 1280);
    browser.wait_for("document.getElementById('note').textContent.startsWith('training has diverged at step')");
    // Steps are whole, and what is no number has no axis.
    assert_eq!(browser.value("ticks(-0.5, 0.5, 3, 1)"), serde_json::json!([0]));
    // Nor are there more marks than there is room for.
    assert_eq!(browser.value("logTicks(0.5, 2e122).length"), 8);
    assert_eq!(browser.value("logTicks(0.3, 30)"), serde_json::json!([1, 10]));
    look(&mut browser, "toy-diverged");

    // When the program has ended, what has been seen is still there.
    let number = browser.value("lab.lastNumber");
    drop(faulty);
    browser.wait_for("document.getElementById('status').textContent === 'no connection'");
    browser.value("lab.kept.unshift([99999, 0])");
    browser.value("(() => { const t = $('time'); t.max = 1; t.value = 0; t.dispatchEvent(new Event('input')) })()");
    browser.wait_for("$('time').value === '1' && $('note').textContent.startsWith('The program has ended')");
    assert_eq!(browser.value("lab.number"), number);
}

/// Slow motion has so many stages, and the plane shows something else in each.
#[track_caller]
fn stages(browser: &mut Browser, expected: usize) {
    browser.press("slow");
    browser.wait_for("!document.getElementById('slow-box').hidden");
    browser.press("slow-hold");
    let mut pictures = Vec::new();
    while browser.value("document.getElementById('slow-box').hidden") == false {
        let (caption, picture) = (browser.text("caption"), browser.value("$('plane').toDataURL()"));
        let same = pictures.iter().find(|(_, before)| *before == picture).map(|(before, _)| before);
        assert_eq!(same, None, "the same picture at {caption}");
        pictures.push((caption, picture));
        browser.press("slow-on");
    }
    assert_eq!(pictures.len(), expected);
}
