//! Experiments in the plane, each with a question that is to be answered before it is made.

use serde::Serialize;

use super::{Model, Move, Recipe, Script, Toy};

/// An experiment on the ring.
#[derive(Debug, Serialize)]
pub struct Experiment {
    /// What it is about.
    pub title: &'static str,
    /// What is done, and asked.
    pub question: &'static str,
    /// What one may think.
    pub choices: [&'static str; 3],
    /// The choice that is right.
    pub answer: usize,
    /// Why it is.
    pub why: &'static str,
    #[serde(skip)]
    model: Model,
    #[serde(skip)]
    seed: u64,
    /// A [`Script`], and another one, so many times.
    #[serde(skip)]
    script: (&'static str, &'static str, usize),
}

impl Experiment {
    /// What it begins with: all but model and seed is as usual.
    pub fn recipe(&self) -> Recipe {
        Recipe { seed: self.seed, ..Recipe::new(Toy::Ring, self.model) }
    }

    /// What is done.
    pub fn moves(&self) -> Vec<Move> {
        let (first, then, times) = self.script;
        let moves = |text: &str| text.parse::<Script>().expect("a script that a test reads").moves().to_vec();
        [moves(first), moves(then).repeat(times)].concat()
    }
}

/// All of them. What they say of numbers, a test finds again.
pub static EXPERIMENTS: [Experiment; 6] = [
    Experiment {
        title: "The critic by itself",
        question: "WGAN-GP. The generator stays as it began, and the critic alone makes 300 updates. What becomes of \
                   the exact W₁, and of the critic's lower bound on it?",
        choices: ["Both fall", "W₁ stays, the bound rises towards it", "W₁ stays, the bound rises far above it"],
        answer: 1,
        why: "W₁ depends on the points alone, and none has moved. E f(x) − E f(y), over the steepest slope of f, is a \
              lower bound of it whatever f is (Kantorovich and Rubinstein); a better critic makes it tighter.",
        model: Model::WganGp,
        seed: 0,
        script: ("", "d", 300),
    },
    Experiment {
        title: "The generator by itself",
        question: "WGAN-GP. After 100 steps of both, the critic is held still, and the generator alone makes 100 \
                   updates more. What becomes of W₁?",
        choices: ["It falls further", "It stays", "It rises"],
        answer: 2,
        why: "The points run on to where this critic's value is highest, past the data, and gather there. The critic \
              was right about the points where they were, not about those to come: that is why the two take turns.",
        model: Model::WganGp,
        seed: 0,
        script: ("100", "g", 100),
    },
    Experiment {
        title: "A discriminator that is too good",
        question: "GAN. The generator stays as it began, in the middle of the ring, and the discriminator alone makes \
                   300 updates. Where does its lower bound on the Jensen–Shannon divergence go?",
        choices: ["To 0", "To ln 2, which is 0.69", "It grows as long as the discriminator learns"],
        answer: 1,
        why: "The divergence of two distributions that do not overlap is ln 2, however far apart they are: its value \
              says nothing of how far the points have to go. W₁ does, which is what WGAN is for.",
        model: Model::Gan,
        seed: 0,
        script: ("", "d", 300),
    },
    Experiment {
        title: "A critic that hardly learns",
        question: "WGAN-GP. The critic's learning rate is a millionth, so that it stays nearly as it began; the \
                   generator learns for 100 steps as usual. What do its points do?",
        choices: ["They stay where they are", "They find the data, slowly", "They run away from the data"],
        answer: 2,
        why: "A critic with the weights of the beginning is a slope that has nothing to do with the data, and the \
              generator follows it as far as it goes. Only the critic knows where the data are.",
        model: Model::WganGp,
        seed: 2,
        script: ("lr-d=1e-6", "100", 1),
    },
    Experiment {
        title: "The slope under spectral norm",
        question: "SNGAN. Every weight of the critic is divided by its σ, and the output is multiplied by K = 20. \
                   After 300 steps, how steep is the critic where it is steepest?",
        choices: ["Nearly 20", "Far less than 20", "More than 20"],
        answer: 1,
        why: "K bounds the slope, since each layer stretches by no more than 1. It would be reached only where every \
              layer is passed in its steepest direction, with no unit cut off on the way.",
        model: Model::Sngan,
        seed: 0,
        script: ("", "300", 1),
    },
    Experiment {
        title: "The slope under clipping",
        question: "WGAN. Every weight of the critic is clipped to a small range, so that its slope has some bound. \
                   After 300 steps, how steep is the critic where it is steepest?",
        choices: ["Less than ½", "About 1", "More than 3"],
        answer: 2,
        why: "Clipping bounds weights, not slopes: what slope they allow depends on the width and the depth of the \
              net, and changes as it learns. So the critic estimates K·W₁ with a K that nobody knows.",
        model: Model::Wgan,
        seed: 0,
        script: ("", "300", 1),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::{Lab, frame};

    /// W₁, the critic's estimate, the bound, and the steepest slope: at first, before the moves that are repeated, and
    /// after them.
    fn figures(experiment: &Experiment) -> [[f64; 4]; 3] {
        let mut lab = Lab::new(experiment.recipe()).unwrap();
        let moves = experiment.moves();
        let see = |lab: &Lab| {
            let frame = frame(lab, false);
            ["w1", "estimate", "bound", "steepest"].map(|name| frame[name].as_f64().unwrap_or(f64::NAN))
        };
        let first = see(&lab);
        let repeated = moves.len() - experiment.script.2;
        moves[..repeated].iter().for_each(|next| lab.make(*next).unwrap());
        let between = see(&lab);
        moves[repeated..].iter().for_each(|next| lab.make(*next).unwrap());
        [first, between, see(&lab)]
    }

    #[test]
    fn the_answers_are_right() {
        for experiment in &EXPERIMENTS {
            assert!(experiment.answer < 3);
            let [first, between, last] = figures(experiment);
            let [w1, estimate, bound, steepest] = last;
            let holds = match experiment.title {
                "The critic by itself" => w1 == first[0] && first[2] < 0.2 * w1 && bound > 0.8 * w1 && bound < w1,
                "The generator by itself" => between[0] < 0.5 * first[0] && w1 > 2.0 * between[0],
                "A discriminator that is too good" => w1 == first[0] && (estimate - 2f64.ln()).abs() < 0.01,
                "A critic that hardly learns" => w1 > 10.0 * first[0],
                "The slope under spectral norm" => experiment.recipe().lipschitz() == Some(20.0) && steepest < 10.0,
                "The slope under clipping" => steepest > 3.0,
                title => panic!("{title}: no test"),
            };
            assert!(holds, "{}: {first:?} {between:?} {last:?}", experiment.title);
        }
    }
}
