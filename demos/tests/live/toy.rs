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
    // Orders that are given faster than they are answered may come in another order.
    browser.press("critic-alone");
    browser.wait_for("document.getElementById('command').textContent.endsWith(' d\"')");
    browser.press("generator-alone");
    browser.wait_for("document.getElementById('command').textContent.endsWith(' g\"')");
    browser.press("one");
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
    browser.wait_for("lab.about.toy === 'drawn' && lab.about.centres.length === 9");
    assert!(browser.text("command").starts_with("gan toy --points '"), "{}", browser.text("command"));
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
