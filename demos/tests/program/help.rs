//! `--help`: every flag, with its default.

use std::path::Path;

use super::succeed;

/// Each flag and its default must be in the help of the command, in the same entry.
#[track_caller]
fn mentions(command: &str, flags: &[(&str, &str)]) {
    let help = succeed(Path::new("."), &format!("{command} --help"));
    let mut entries = vec![String::new()];
    for line in help.lines() {
        if ["--", "<", "[METHOD]", "[TOY]"].iter().any(|start| line.trim_start().starts_with(start)) {
            entries.push(String::new());
        }
        *entries.last_mut().unwrap() += line;
    }
    for (flag, default) in flags {
        let found = entries.iter().any(|entry| entry.contains(flag) && entry.contains(default));
        assert!(found, "gan {command} --help: no {flag} with {default:?} in\n{help}");
    }
    assert!(help.contains("--threads <N>"), "{command}: {help}");
}

#[test]
fn help_mentions_every_flag_and_default() {
    let commands =
        "train resume sample export data evaluate info inspect report compare live toy theory devices bench".split(' ');
    let commands: Vec<String> = commands.map(|name| format!("{name} ")).collect();
    let commands: Vec<(&str, &str)> = commands.iter().map(|name| (name.as_str(), "")).collect();
    mentions("", &commands);
    mentions(
        "train",
        &[
            ("[METHOD]", ""),
            ("--config <FILE.toml>", ""),
            ("--data <DATA>", "[default: digits]"),
            ("--data-dir <DIR>", "[default: data/NAME, where gan data fetch NAME puts them]"),
            ("--size <PIXELS>", "[default: as they are, 28 padded to 32; folder: 32, stl-10: 48]"),
            ("--net <NET>", "- dcgan:"),
            ("--norm <NORM>", "- batch:"),
            ("--paper", "quick default"),
            ("--init <INIT>", "[default: usual; --paper: paper]"),
            ("--lr-decay <SHARE>", "[default: none; sngan --paper --net resnet: 0]"),
            ("--width <WIDTH>", "[default: 0.25; --paper: 1]"),
            ("--z-dim <Z_DIM>", "[default: 128; wgan: 100]"),
            ("--conditional", "at least two classes"),
            ("--batch <BATCH>", "[default: 64; sagan --paper: 256]"),
            ("--steps <STEPS>", "[default: 2500; --paper: 100000;"),
            ("--n-dis <N_DIS>", "[default: 1; wgan, wgan-gp: 5]"),
            ("--warm-up <WARM_UP>", "(wgan)"),
            ("--loss <LOSS>", "[default: hinge; gan: standard; wgan, wgan-gp: wasserstein;"),
            ("--setting <SETTING>", "- F:"),
            ("--optimizer <OPTIMIZER>", "[default: adam; wgan: rmsprop]"),
            ("--lr <LR>", "[default: 0.0002; "),
            ("--lr-d <LR_D>", "[default: that of --lr; sagan: 0.0004]"),
            ("--betas <B1,B2>", "[default: 0.5,0.999; wgan-gp, sagan: 0,0.9]"),
            ("--clip <CLIP>", "[default: 0.01]"),
            ("--gp-lambda <LAMBDA>", "[default: 10]"),
            ("--sn-lambda <LAMBDA>", "[default: 0.01]"),
            ("--ema <DECAY>", "0.999"),
            ("--init-from <RUN>", ""),
            ("--seed <SEED>", "[default: 0]"),
            ("--sample-every <STEPS>", "[default: 100]"),
            ("--checkpoint-every <STEPS>", "[default: 500]"),
            ("--evaluate-every <STEPS>", "[default: none]"),
            ("--skip-corrupt", "(folder)"),
            ("--flatten", "below a class's folder are of that class"),
            ("--dequantise", "noise"),
            ("--flip", "digits"),
            ("--force", ""),
            ("--tensorboard", ""),
            ("--live [<PORT>]", "any that is free"),
            ("--out <DIR>", "[default: the first free one of runs/METHOD-DATA"),
        ],
    );
    mentions("train", &[("--cache <DIR>", "[default: runs/classifiers]")]);
    let as_before = "[default: as before]";
    mentions(
        "resume",
        &[
            ("<RUN>", ""),
            ("--steps <STEPS>", as_before),
            ("--sample-every <STEPS>", as_before),
            ("--checkpoint-every <STEPS>", as_before),
            ("--evaluate-every <STEPS>", as_before),
            ("--data-dir <DIR>", as_before),
            ("--tensorboard", ""),
            ("--live [<PORT>]", "any that is free"),
            ("--cache <DIR>", "[default: runs/classifiers]"),
            ("--force", ""),
        ],
    );
    let samples = "[default: samples.png]";
    mentions("sample", &[("<RUN>", ""), ("--n <N>", "[default: 64]"), ("--seed", "[default: 0]"), ("--out", samples)]);
    mentions("data", &[("fetch", ""), ("show", "")]);
    mentions(
        "data fetch",
        &[("<NAME>", "cifar-10"), ("--data-dir <DIR>", "[default: data/NAME; both"), ("--mirror <URL>", "")],
    );
    mentions(
        "data show",
        &[
            ("<NAME>", ""),
            ("--data-dir <DIR>", "[default: data/NAME, where gan data fetch NAME puts them]"),
            ("--split <SPLIT>", "[default: train]"),
            ("--size <PIXELS>", "[default: 32, or 48 for STL-10]"),
            ("--skip-corrupt", ""),
            ("--flatten", "below a class's folder are of that class"),
            ("--n <N>", "[default: 12]"),
            ("--seed <SEED>", "[default: 0]"),
            ("--out <FILE.png>", ""),
        ],
    );
    let (n, cache) = ("[default: 5000, or as many as there", "[default: runs/classifiers]");
    mentions(
        "evaluate",
        &[("<RUN>", ""), ("--n <N>", n), ("--seed", "[default: 0]"), ("--cache", cache), ("--json", "")],
    );
    mentions("evaluate", &[("--n <N>", "256 to 20000"), ("--n <N>", "1536 at least")]);
    mentions("sample", &[("--out <FILE.png|FILE.npy>", "[default: samples.png]"), ("--each <DIR>", "")]);
    mentions("export", &[("<RUN>", ""), ("--out <DIR>", "[default: RUN/export]")]);
    mentions("sample", &[("--interpolate <ROWS>", "")]);
    mentions("inspect", &[("<RUN>", ""), ("--n <N>", "[default: 256]"), ("--seed", "[default: 0]"), ("--json", "")]);
    mentions(
        "info",
        &[
            ("<METHOD|RUN>", "the directory of a run"),
            ("--data <DATA>", "[default: digits]"),
            ("--data-dir <DIR>", ""),
            ("--size <PIXELS>", "[default: as of gan train]"),
            ("--net <NET>", "- resnet:"),
            ("--norm <NORM>", "- batch:"),
            ("--paper", "quick default"),
            ("--width <WIDTH>", "[default: 0.25; --paper: 1]"),
            ("--z-dim <Z_DIM>", "[default: 128; wgan: 100]"),
            ("--conditional", "classes"),
            ("--json", ""),
        ],
    );
    mentions("report", &[("<RUN>", "")]);
    mentions("compare", &[("<RUN>", "two to seven"), ("--out <DIR>", "[default: compare]")]);
    for command in ["sample", "evaluate", "inspect", "export"] {
        mentions(command, &[("--best", "least Fréchet distance")]);
    }
    mentions("live", &[("<RUN>", ""), ("--port <PORT>", "[default: any that is free]")]);
    mentions("devices", &[("--json", "")]);
    mentions("resume", &[("--device <DEVICE>", "[default: where the run was trained last]")]);
    for command in ["train", "sample", "evaluate", "inspect", "bench step", "bench layers"] {
        mentions(command, &[("--device <DEVICE>", "[default: cpu]")]);
    }
    mentions(
        "toy",
        &[
            ("[TOY]", ""),
            ("--points <POINTS>", "up to 100"),
            ("--model <MODEL>", "[default: wgan-gp]"),
            ("--steps <STEPS>", "[default: 12000]"),
            ("--batch <BATCH>", "[default: 128]"),
            ("--hidden <HIDDEN>", "[default: 128]"),
            ("--n-dis <N_DIS>", "[default: 5 for wgan, else 1]"),
            ("--lr <LR>", "[default: by method]"),
            ("--lr-d <LR_D>", "[default: that of --lr]"),
            ("--lambda <LAMBDA>", "[default: 0.1]"),
            ("--clip <CLIP>", "[default: 0.1]"),
            ("--lipschitz <K>", "[default: 20]"),
            ("--seed <SEED>", "[default: 0]"),
            ("--seeds <N>", "[default: 1]"),
            ("--out <DIR>", "[default: the first free one of runs/toy-TOY-MODEL"),
            ("--live [<PORT>]", "any that is free"),
            ("--play <SCRIPT>", "120 d g 30"),
        ],
    );
    let theory = ["parallel-lines", "optimal-discriminator", "power-iteration", "lipschitz", "exact-w1"];
    mentions("theory", &theory.map(|name| (name, "")));
    for name in theory {
        let out = ("--out <DIR>", "[default: the first free one of runs/theory-NAME");
        mentions(&format!("theory {name}"), &[("--seed <SEED>", "[default: 0]"), out]);
    }
    mentions("theory lipschitz", &[("--width <WIDTH>", "[default: 0.25]")]);
    mentions("sample", &[("--class <K>", "")]);
    mentions("bench", &[("step", ""), ("layers", ""), ("rounding", "")]);
    let rounding = [("--width", "[default: 0.25]"), ("--batch", "[default: 16]"), ("--steps", "[default: 400]")];
    mentions("bench rounding", &rounding);
    let rounding = [("--states", "[default: 20]"), ("--runs", "[default: 4]"), ("--follow", "[default: 100]")];
    mentions("bench rounding", &rounding);
    let step =
        [("--width", "[default: 1]"), ("--batch", "[default: 64]"), ("--iters", "[default: 10]"), ("--json", "")];
    mentions("bench step", &step);
    mentions("bench step", &[("--times", "")]);
    mentions("bench step", &[("--method <METHOD>", "[default: sngan]")]);
}
