//! What has been done to a trainer since it was new, as a line that can be read, written, and done again.

use std::fmt;
use std::str::FromStr;

use super::{Objective, Recipe, Toy};

/// The most steps and updates that a script may ask for.
pub const MOST_UPDATES: u64 = 1_000_000;

/// Something that is done to a trainer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Move {
    /// Whole steps, `n_dis` updates of the critic and one of the generator each.
    Steps(u64),
    /// An update of the critic by itself.
    Critic,
    /// An update of the generator by itself.
    Generator,
    /// Another learning rate of the generator.
    Lr(f64),
    /// Another learning rate of the critic.
    LrD(f64),
    /// Another number of updates of the critic in a step.
    NDis(usize),
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Move::Steps(n) => write!(f, "{n}"),
            Move::Critic => f.write_str("d"),
            Move::Generator => f.write_str("g"),
            Move::Lr(lr) => write!(f, "lr={lr:e}"),
            Move::LrD(lr) => write!(f, "lr-d={lr:e}"),
            Move::NDis(n) => write!(f, "n-dis={n}"),
        }
    }
}

impl FromStr for Move {
    type Err = String;

    fn from_str(word: &str) -> Result<Move, String> {
        let rate = |text: &str| text.parse::<f64>().ok().filter(|lr| lr.is_finite() && *lr > 0.0);
        let found = match word.split_once('=') {
            None if word == "d" => Some(Move::Critic),
            None if word == "g" => Some(Move::Generator),
            None => word.parse().ok().filter(|n| *n > 0).map(Move::Steps),
            Some(("lr", text)) => rate(text).map(Move::Lr),
            Some(("lr-d", text)) => rate(text).map(Move::LrD),
            Some(("n-dis", text)) => text.parse().ok().filter(|n| (1..=100).contains(n)).map(Move::NDis),
            Some(_) => None,
        };
        found.ok_or_else(|| format!("found {word:?}; expected a number of steps, d, g, lr=…, lr-d=… or n-dis=1…100"))
    }
}

/// Moves, in their order: `120 d g lr=1e-3 30` is 120 steps, an update of the critic, one of the generator, another
/// rate, and 30 steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    moves: Vec<Move>,
}

impl Script {
    /// Adds a move; steps after steps become one move.
    pub fn push(&mut self, next: Move) {
        match (self.moves.last_mut(), next) {
            (Some(Move::Steps(n)), Move::Steps(more)) => *n = n.saturating_add(more),
            _ => self.moves.push(next),
        }
    }

    /// Its moves.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// Steps and updates in it.
    pub fn updates(&self) -> u64 {
        let updates = |a: &Move| match *a {
            Move::Steps(n) => n,
            Move::Critic | Move::Generator => 1,
            Move::Lr(_) | Move::LrD(_) | Move::NDis(_) => 0,
        };
        self.moves.iter().map(updates).fold(0, u64::saturating_add)
    }

    /// What is to be done after `start` to get here; `None` if this does not begin with that.
    pub fn after(&self, start: &Script) -> Option<Vec<Move>> {
        let Some((last, before)) = start.moves.split_last() else { return Some(self.moves.clone()) };
        let rest = self.moves.strip_prefix(before)?;
        let (first, rest) = rest.split_first()?;
        let more = match (*last, *first) {
            (Move::Steps(done), Move::Steps(n)) if n > done => Some(Move::Steps(n - done)),
            (done, same) if done == same => None,
            _ => return None,
        };
        Some(more.into_iter().chain(rest.iter().copied()).collect())
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.moves.iter().map(Move::to_string).collect::<Vec<_>>().join(" "))
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Script, String> {
        let mut script = Script::default();
        for word in text.split_whitespace() {
            script.push(word.parse()?);
        }
        match script.updates() {
            n if n > MOST_UPDATES => Err(format!("found {n} updates; expected at most {MOST_UPDATES}")),
            _ => Ok(script),
        }
    }
}

/// The command that shows the beginning of this recipe: `gan toy …`, with all that differs from the usual; `--play`
/// with a [`Script`] is to follow.
pub fn command_line(recipe: &Recipe) -> String {
    let Recipe { toy, objective, hidden, batch, steps, n_dis, lr, lr_d, seed, .. } = recipe;
    let usual = Recipe::new(toy.clone(), recipe.model());
    let mut words = match toy {
        Toy::Drawn(points) => {
            let points: Vec<String> = points.iter().map(|[x, y]| format!("{x},{y}")).collect();
            vec![format!("--points '{}'", points.join(" "))]
        }
        toy => vec![toy.name()],
    };
    words.push(format!("--model {} --seed {seed}", recipe.model().name()));
    if *objective != usual.objective {
        words.push(match objective {
            Objective::Standard => String::new(),
            Objective::Clipped { c } => format!("--clip {c:e}"),
            Objective::Penalised { lambda } => format!("--lambda {lambda:e}"),
            Objective::Spectral { k } => format!("--lipschitz {k:e}"),
        });
    }
    let mut flag = |name: &str, value: String, differs: bool| {
        words.extend(differs.then(|| format!("--{name} {value}")));
    };
    flag("hidden", hidden.to_string(), *hidden != usual.hidden);
    flag("batch", batch.to_string(), *batch != usual.batch);
    flag("steps", steps.to_string(), *steps != usual.steps);
    flag("n-dis", n_dis.to_string(), *n_dis != usual.n_dis);
    flag("lr", format!("{lr:e}"), *lr != usual.lr);
    flag("lr-d", format!("{:e}", lr_d.unwrap_or_default()), lr_d.is_some());
    format!("gan toy {} --live", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Script {
        text.parse().unwrap()
    }

    #[test]
    fn scripts_are_read_and_written() {
        for text in ["", "120 d g lr=1e-3 30", "d d g n-dis=5 lr-d=2.5e-4 7"] {
            assert_eq!(script(text).to_string(), text);
        }
        assert_eq!((script(" 3 4  d").to_string().as_str(), script("3 4 d lr=1 g").updates()), ("7 d", 9));
        for bad in ["0", "-1", "x", "lr=0", "lr=inf", "lr", "n-dis=0", "n-dis=101", "1.5", "steps=3"] {
            let message = bad.parse::<Script>().unwrap_err();
            assert!(message.starts_with(&format!("found {bad:?}; expected a number of steps")), "{message}");
        }
        assert!("999999 d d".parse::<Script>().unwrap_err().contains("expected at most 1000000"));
        assert!(format!("{0} {0}", u64::MAX / 2 + 1).parse::<Script>().is_err());
    }

    #[test]
    fn what_is_left_to_do_after_a_beginning() {
        let all = script("10 d 5 g");
        for (start, rest) in [("", "10 d 5 g"), ("4", "6 d 5 g"), ("10", "d 5 g"), ("10 d 5", "g"), ("10 d 5 g", "")] {
            let left: Vec<String> = all.after(&script(start)).unwrap().iter().map(Move::to_string).collect();
            assert_eq!(left.join(" "), rest, "{start}");
        }
        for other in ["11", "10 g", "10 d 6", "10 d 5 g 1"] {
            assert_eq!(all.after(&script(other)), None, "{other}");
        }
    }
}
