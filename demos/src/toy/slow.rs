//! A step told stage by stage: what its last updates saw and did, for a page, with a caption to each stage.

use serde_json::{Value, json};
use wengert::Tensor;

use super::frame::{heat, mesh, round, rounded};
use super::snapshot::points;
use super::{Lab, Objective, Recipe, ShownStep};

/// The most points of a batch that are shown.
const SHOWN: usize = 128;

/// A step that this lab has just made.
///
/// Everything is of these very updates: the batch, the noise, and the critic with which they were computed. Places are
/// in the plane; gradients with respect to points, and slopes, are per unit of the points as the critic sees them.
pub fn told(lab: &Lab, step: ShownStep) -> Value {
    let ShownStep { mut before, critic, generator } = step;
    before.prepare_critic();
    let (after, toy) = (lab.trainer(), &lab.start().toy);
    let shown = |tensor: &Tensor| points(tensor).into_iter().take(SHOWN).collect::<Vec<_>>();
    let numbers = |tensor: &Tensor| tensor.to_vec().into_iter().map(f64::from).collect::<Vec<_>>();
    let pulls = numbers(&after.critic_net().pulls(&critic.values));
    let (on_real, on_generated) = pulls.split_at(pulls.len() / 2);
    let few = |numbers: &[f64]| numbers.iter().take(SHOWN).copied().map(round).collect::<Vec<_>>();

    // The critic before, and how each of its values has changed: only by the optimiser's step. The Wasserstein loss is
    // the same of f + c, which drifts: the mean change at the batch is taken off.
    let (map, map_after) = (heat(&before, toy), heat(after, toy));
    let drift = match after.recipe().objective {
        Objective::Clipped { .. } | Objective::Penalised { .. } => {
            let values_after = numbers(&after.critic_net().values(&(&critic.inputs).into()).into_value());
            mean(&values_after) - mean(&numbers(&critic.values))
        }
        Objective::Standard | Objective::Spectral { .. } => 0.0,
    };
    let change: Vec<f64> = map.iter().zip(&map_after).map(|(old, new)| new - old - drift).collect();
    let most = change.iter().map(|x| x.abs()).fold(0.0, f64::max);
    let penalised = critic.penalised.as_ref().map(|(x, norms)| (shown(x), numbers(norms)));

    // The generator's points for the noise of its update, and −N·∂L/∂G(z): the critic is that of the update still.
    let (noised, moved) = (before.generate_now(&generator.noise), after.generate_now(&generator.noise));
    let push = after.push(&noised);

    let words = Words {
        recipe: after.recipe(),
        losses: [critic.loss, generator.loss],
        values: &numbers(&critic.values),
        pulls: &pulls,
        norms: penalised.as_ref().map(|(_, norms)| &norms[..]),
        most,
        longest: [longest(&points(&push)), longest(&differences(&points(&noised), &points(&moved)))],
    };
    json!({
        "stages": words.stages(),
        "real": rounded(&shown(&critic.real)),
        "generated": rounded(&shown(&critic.generated)),
        "pulls": { "real": few(on_real), "generated": few(on_generated) },
        "penalised": penalised.as_ref().map(|(x, norms)| json!({ "points": rounded(x), "norms": few(norms) })),
        "critic": map.into_iter().map(round).collect::<Vec<_>>(),
        "change": change.into_iter().map(|x| round(x / most.max(f64::MIN_POSITIVE))).collect::<Vec<_>>(),
        "critic_after": map_after.into_iter().map(round).collect::<Vec<_>>(),
        "mesh": mesh(&before),
        "mesh_after": mesh(after),
        "noised": rounded(&shown(&noised)),
        "push": shown(&push),
        "moved": rounded(&shown(&moved)),
        "moves": differences(&shown(&noised), &shown(&moved)),
    })
}

fn differences(from: &[[f64; 2]], to: &[[f64; 2]]) -> Vec<[f64; 2]> {
    from.iter().zip(to).map(|(a, b)| [b[0] - a[0], b[1] - a[1]]).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn longest(arrows: &[[f64; 2]]) -> f64 {
    arrows.iter().map(|[x, y]| x.hypot(*y)).fold(0.0, f64::max)
}

/// A number to about three digits.
fn short(x: f64) -> String {
    let digits = if x != 0.0 && x.abs() < 0.01 { format!("{x:.1e}") } else { format!("{x:.3}") };
    digits.replace('-', "−")
}

/// What captions are made of.
struct Words<'a> {
    recipe: &'a Recipe,
    /// Of the critic, with its penalty, and of the generator.
    losses: [f64; 2],
    /// The critic's values, at real points first.
    values: &'a [f64],
    pulls: &'a [f64],
    /// ‖∇f(x̂)‖ of the penalty, if there is one.
    norms: Option<&'a [f64]>,
    /// The largest change of a value of the map.
    most: f64,
    /// The longest push, and the longest way that a point has moved.
    longest: [f64; 2],
}

impl Words<'_> {
    /// What happens, with which net is at work and what the page shows.
    fn stages(&self) -> Value {
        let stage = |net: &str, show: &str, caption: String| json!({ "net": net, "show": show, "caption": caption });
        let Recipe { batch, n_dis, .. } = self.recipe;
        let updates = if *n_dis == 1 { String::new() } else { format!(" (the last of {n_dis} updates)") };
        let part = if *batch > SHOWN { format!("; {SHOWN} of them are shown") } else { String::new() };
        let mut stages = vec![
            stage("D", "real", format!("D learns{updates}: {batch} points of the data are drawn{part}.")),
            stage("D", "generated", format!("G makes {batch} points of fresh noise z. Its weights are fixed now.")),
            stage("D", "values", format!("Forward: D gives each point a value, the colour under it. {}", self.loss())),
        ];
        stages.extend(self.penalty().map(|caption| stage("D", "penalty", caption)));
        let [push, way] = self.longest.map(short);
        stages.extend([
            stage("D", "backward", self.backward()),
            stage("D", "critic-moved", self.optimised()),
            stage("G", "noise", format!("G learns: {batch} new z become points. It never sees the data.")),
            stage("G", "judged", format!("Forward: D, fixed now, gives each of them a value. {}", self.loss_of_g())),
            stage(
                "G",
                "push",
                format!(
                    "Backward through D: each arrow is −{batch}·∂L/∂G(z), the way its point should go; the longest is \
                     {push}. From the points on, the tape is walked back to the weights of G."
                ),
            ),
            stage(
                "G",
                "moved",
                format!(
                    "The optimiser has stepped: the arrows show how the points have moved, the longest by {way}. All \
                     share the weights, so none goes quite its own way."
                ),
            ),
        ]);
        json!(stages)
    }

    /// The critic's loss, without its penalty.
    fn loss(&self) -> String {
        let (on_real, on_generated) = self.values.split_at(self.values.len() / 2);
        let [loss, _] = self.losses.map(short);
        match self.recipe.objective {
            Objective::Standard => format!("The loss −E ln D(x) − E ln(1 − D(G(z))) is {loss}."),
            Objective::Clipped { .. } => format!("The loss E f(G(z)) − E f(x) is {loss}."),
            Objective::Penalised { .. } => {
                let difference = short(mean(on_generated) - mean(on_real));
                format!("The loss begins with E f(G(z)) − E f(x), which is {difference}.")
            }
            Objective::Spectral { .. } => format!("The loss E max(0, 1 − f(x)) + E max(0, 1 + f(G(z))) is {loss}."),
        }
    }

    fn penalty(&self) -> Option<String> {
        let (Objective::Penalised { lambda }, Some(norms)) = (self.recipe.objective, self.norms) else { return None };
        let penalty = mean(&norms.iter().map(|norm| (norm - 1.0).powi(2)).collect::<Vec<_>>());
        Some(format!(
            "The penalty: at a point x̂ on each line from x to G(z) the bar is ‖∇f(x̂)‖, and its tick is at 1, where \
             it should end. E(‖∇f(x̂)‖ − 1)² is {}; {lambda} times that joins the loss: {}.",
            short(penalty),
            short(self.losses[0])
        ))
    }

    fn backward(&self) -> String {
        let n = self.recipe.batch;
        let idle = self.pulls.iter().filter(|pull| **pull == 0.0).count();
        let of_method = match self.recipe.objective {
            Objective::Standard => "(f is the logit of D.) Points that D already tells apart pull little.".into(),
            Objective::Clipped { .. } => "All pull alike.".into(),
            Objective::Penalised { .. } => "All pull alike; the penalty works against steep slopes.".into(),
            Objective::Spectral { .. } => format!("{idle} of {} are beyond the margin and pull not at all.", 2 * n),
        };
        format!(
            "Backward: the bar of a point is −{n}·∂L/∂f, how the loss pulls at the value there: up at the data, down \
             at generated points. {of_method} From the values on, the tape is walked back to the weights of D."
        )
    }

    fn optimised(&self) -> String {
        let level = "f + c is as good, so the batch’s mean change is taken off.";
        let of_method = match self.recipe.objective {
            Objective::Standard => String::new(),
            Objective::Penalised { .. } => format!(" To this loss {level}"),
            Objective::Clipped { c } => format!(" Every weight is clipped to ±{c}. To this loss {level}"),
            Objective::Spectral { k } => format!(" Each weight stays divided by its σ, which holds slopes to {k}."),
        };
        format!(
            "The optimiser has stepped: amber, where the value has risen, blue, where it has fallen, by {} at most.\
             {of_method}",
            short(self.most)
        )
    }

    fn loss_of_g(&self) -> String {
        let [_, loss] = self.losses.map(short);
        match self.recipe.objective {
            Objective::Standard => format!("The loss −E ln D(G(z)) is {loss}."),
            _ => format!("The loss −E f(G(z)) is {loss}."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::{Model, Move, Toy};

    /// The stages of each method, each with a picture of its own; figures of the batch, not of the points on the page.
    #[test]
    fn a_step_is_told_in_stages() {
        for model in [Model::Gan, Model::Wgan, Model::WganGp, Model::Sngan] {
            let mut lab = Lab::new(Recipe { hidden: 12, batch: 150, ..Recipe::new(Toy::Ring, model) }).unwrap();
            lab.make(Move::Steps(2)).unwrap();
            let step = lab.step_shown().unwrap().unwrap();
            let (real, noise) = (points(&step.critic.real), step.generator.noise.clone());
            let told = told(&lab, step);
            let shows: Vec<&str> =
                told["stages"].as_array().unwrap().iter().map(|s| s["show"].as_str().unwrap()).collect();
            let different: std::collections::HashSet<_> = shows.iter().collect();
            assert_eq!((shows.len(), different.len()), if model == Model::WganGp { (10, 10) } else { (9, 9) });
            assert_eq!(told["real"], json!(rounded(&real[..SHOWN])));
            let moved = points(&lab.trainer().generate_now(&noise));
            assert_eq!(told["moved"], json!(rounded(&moved[..SHOWN])));
            assert_eq!(told["penalised"].is_null(), model != Model::WganGp);
            let change = told["change"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap().abs());
            assert_eq!(change.fold(0.0, f64::max), 1.0, "the map has changed");
        }
    }
}
