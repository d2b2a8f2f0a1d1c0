//! A trainer that remembers what was done to it, and goes back.

use anyhow::{Result, ensure};
use wengert::{Archive, Tape};

use super::script::{MOST_UPDATES, Move, Script};
use super::{CriticUpdate, GeneratorUpdate, Recipe, Trainer};
use crate::thinning::every_second;

/// Between two states that are kept, so many steps and updates are made at least.
const BETWEEN: u64 = 200;
/// The most states that are kept, and the most bytes of all of them.
const MOST_KEPT: usize = 64;
const MOST_BYTES: usize = 1 << 28;
/// The most moves of a script.
const MOST_MOVES: usize = 10_000;

/// A trainer with its past.
pub struct Lab {
    start: Recipe,
    trainer: Trainer,
    script: Script,
    /// States to come back to, with the script, the recipe at that moment, and the losses.
    kept: Vec<Kept>,
    losses: [f64; 2],
}

/// A step that has been made, with what its last updates saw.
pub struct ShownStep {
    /// The nets just before them.
    pub before: Trainer,
    /// The last update of the critic.
    pub critic: CriticUpdate,
    /// That of the generator.
    pub generator: GeneratorUpdate,
}

#[derive(Clone)]
struct Kept {
    script: Script,
    recipe: Recipe,
    /// The trainer's archive as a file: so its size is known.
    archive: Vec<u8>,
    losses: [f64; 2],
}

impl Lab {
    /// Nets with fresh weights.
    ///
    /// # Errors
    /// A value of the recipe is none that the program takes.
    pub fn new(recipe: Recipe) -> Result<Lab> {
        recipe.check()?;
        let (trainer, losses) = (Trainer::new(&recipe), [f64::NAN; 2]);
        Ok(Lab { start: recipe, trainer, script: Script::default(), kept: Vec::new(), losses })
    }

    /// The nets as they are.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The nets, to do to them what no script tells: of a lab [`aside`](Lab::aside).
    pub fn trainer_mut(&mut self) -> &mut Trainer {
        &mut self.trainer
    }

    /// The recipe that it began with.
    pub fn start(&self) -> &Recipe {
        &self.start
    }

    /// What has been done so far.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// The losses of the last updates of the critic and of the generator, before them; NaN before the first.
    pub fn losses(&self) -> [f64; 2] {
        self.losses
    }

    /// Whether the learning rate has fallen to 0: more steps would change nothing.
    pub fn is_over(&self) -> bool {
        self.trainer.step() >= self.start.steps
    }

    /// Whether the last losses are numbers; before the first step there may be none.
    fn is_sound(&self) -> bool {
        let [d, g] = self.losses;
        if self.trainer.step() == 0 { !d.is_infinite() && !g.is_infinite() } else { d.is_finite() && g.is_finite() }
    }

    /// Whether more can be done.
    ///
    /// # Errors
    /// Training has diverged, or the script is as long as scripts may be.
    fn check(&self) -> Result<()> {
        let step = self.trainer.step();
        ensure!(self.is_sound(), "training has diverged at step {step}; go back, or restart with a smaller rate");
        let (updates, moves) = (self.script.updates(), self.script.moves().len());
        let fits = updates < MOST_UPDATES && moves < MOST_MOVES;
        ensure!(fits, "found {updates} updates in {moves} moves; expected less than {MOST_UPDATES} in {MOST_MOVES}");
        Ok(())
    }

    /// Does something. Steps after the last of the recipe are not made.
    ///
    /// # Errors
    /// Training has diverged; the state is that after the fault, in which nothing more can be done. Or the script is as
    /// long as scripts may be.
    pub fn make(&mut self, next: Move) -> Result<()> {
        self.check()?;
        match next {
            Move::Steps(n) => {
                for _ in 0..n {
                    if self.is_over() {
                        break;
                    }
                    self.losses = self.trainer.train_step();
                    self.note(Move::Steps(1))?;
                }
                return Ok(());
            }
            Move::Critic => self.losses[0] = self.trainer.critic_alone(&Tape::new()).loss,
            Move::Generator => self.losses[1] = self.trainer.generator_alone(&Tape::new()).loss,
            Move::Lr(lr) => self.trainer.recipe_mut().lr = lr,
            Move::LrD(lr) => self.trainer.recipe_mut().lr_d = Some(lr),
            Move::NDis(n) => self.trainer.recipe_mut().n_dis = n,
        }
        self.note(next)
    }

    /// A step, with what its last updates saw; `None` after the last step of the recipe.
    ///
    /// # Errors
    /// As [`make`](Lab::make).
    pub fn step_shown(&mut self) -> Result<Option<ShownStep>> {
        if self.is_over() {
            return Ok(None);
        }
        self.check()?;
        let mut before = None;
        let (critic, generator) = self.trainer.train_step_shown(|trainer| before = Some(trainer.copy()));
        self.losses = [critic.loss, generator.loss];
        self.note(Move::Steps(1))?;
        let before = before.expect("shown once")?;
        Ok(Some(ShownStep { before, critic, generator }))
    }

    fn note(&mut self, made: Move) -> Result<()> {
        self.script.push(made);
        let step = self.trainer.step();
        ensure!(self.is_sound(), "training has diverged at step {step}; try a smaller learning rate, or another seed");
        let last = self.kept.last().map_or(0, |kept| kept.script.updates());
        if self.script.updates() >= last + BETWEEN {
            let now = self.now();
            let most = (MOST_BYTES / now.archive.len()).clamp(2, MOST_KEPT);
            self.kept.push(now);
            if self.kept.len() > most {
                // The way back from the others takes up to twice as long.
                self.kept.retain(every_second(self.kept.len()));
            }
        }
        Ok(())
    }

    /// The state as it is, to come back to.
    fn now(&self) -> Kept {
        let (script, recipe) = (self.script.clone(), self.trainer.recipe().clone());
        Kept { script, recipe, archive: self.trainer.archive().to_bytes(), losses: self.losses }
    }

    /// Goes to the state after this script, from the last state on the way that has been kept.
    ///
    /// # Errors
    /// Training diverges on the way.
    pub fn go_to(&mut self, script: &Script) -> Result<()> {
        self.kept.retain(|kept| script.after(&kept.script).is_some());
        let rest = match self.kept.last() {
            Some(kept) => {
                *self.trainer.recipe_mut() = kept.recipe.clone();
                let archive = Archive::from_bytes(&kept.archive, "a state that was kept")?;
                self.trainer.restore(&archive)?;
                (self.script, self.losses) = (kept.script.clone(), kept.losses);
                script.after(&kept.script)
            }
            None => {
                let start = self.start.clone();
                *self = Lab::new(start)?;
                script.after(&Script::default())
            }
        };
        rest.unwrap_or_default().into_iter().try_for_each(|next| self.make(next))
    }

    /// Another lab in the state after this script, on which things can be tried: this one stays as it is.
    ///
    /// # Errors
    /// Training diverges on the way.
    pub fn aside(&self, script: &Script) -> Result<Lab> {
        let mut aside = Lab::new(self.start.clone())?;
        let kept = self.kept.iter().rfind(|kept| script.after(&kept.script).is_some()).cloned();
        aside.kept.extend(if *script == self.script { Some(self.now()) } else { kept });
        aside.go_to(script)?;
        Ok(aside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::{Model, Toy};

    fn lab(model: Model) -> Lab {
        Lab::new(Recipe { hidden: 12, batch: 16, steps: 1000, ..Recipe::new(Toy::Ring, model) }).unwrap()
    }

    fn bits(lab: &Lab) -> (Vec<f32>, String, Vec<u64>) {
        let losses = lab.losses().iter().map(|loss| loss.to_bits()).collect();
        (lab.trainer().sample(50, 0).to_vec(), lab.script().to_string(), losses)
    }

    /// A script leads to the same bits: at once, from a kept state, and after going back.
    #[test]
    fn a_state_is_its_script() {
        for model in [Model::Gan, Model::Wgan, Model::WganGp, Model::Sngan] {
            let script: Script = "150 d d g 90 lr=1e-4 lr-d=2e-4 n-dis=2 30 g 10".parse().unwrap();
            let mut at_once = lab(model);
            at_once.go_to(&script).unwrap();
            let mut by_steps = lab(model);
            for next in script.moves() {
                match next {
                    Move::Steps(n) => (0..*n).for_each(|_| by_steps.make(Move::Steps(1)).unwrap()),
                    next => by_steps.make(*next).unwrap(),
                }
            }
            assert_eq!(bits(&at_once), bits(&by_steps), "{model:?}");
            by_steps.go_to(&"205".parse().unwrap()).unwrap();
            assert!(bits(&at_once) != bits(&by_steps));
            by_steps.go_to(&script).unwrap();
            assert_eq!(bits(&at_once), bits(&by_steps), "{model:?}, gone back");
            assert!(!at_once.kept.is_empty());
        }
    }

    /// However long it goes on, what is kept does not grow; and a script has an end.
    #[test]
    fn what_is_kept_is_bounded() {
        let recipe = Recipe { hidden: 2, batch: 2, steps: 1_000_000, ..Recipe::new(Toy::Ring, Model::Gan) };
        let mut lab = Lab::new(recipe).unwrap();
        lab.make(Move::Steps(BETWEEN * (MOST_KEPT as u64 + 1))).unwrap();
        assert!(lab.kept.len() <= MOST_KEPT, "{}", lab.kept.len());
        let (all, last) = (lab.script().updates(), lab.kept.last().unwrap().script.updates());
        assert!(all - last < BETWEEN, "the last is kept: {last} of {all}");
        let mut lab = self::lab(Model::Gan);
        (0..MOST_MOVES / 2).for_each(|_| {
            lab.make(Move::Lr(1e-3)).unwrap();
            lab.make(Move::NDis(1)).unwrap();
        });
        let error = lab.make(Move::Critic).unwrap_err().to_string();
        assert!(error.contains("found 0 updates in 10000 moves"), "{error}");
    }

    /// After a fault nothing more is done, until one goes back.
    #[test]
    fn a_lab_that_has_diverged_waits() {
        let mut lab = lab(Model::Gan);
        lab.make(Move::Steps(2)).unwrap();
        lab.make(Move::Lr(1e30)).unwrap();
        let faulty = lab.make(Move::Steps(50)).unwrap_err().to_string();
        assert!(faulty.contains("training has diverged at step"), "{faulty}");
        let script = lab.script().clone();
        assert!(lab.make(Move::Steps(1)).unwrap_err().to_string().contains("go back") && *lab.script() == script);
        lab.go_to(&"2".parse().unwrap()).unwrap();
        lab.make(Move::Steps(1)).unwrap();
    }

    /// Steps alone are what `gan toy` trains; a copy changes nothing, and neither do watched tapes.
    #[test]
    fn steps_are_those_of_a_trainer() {
        let mut lab = lab(Model::WganGp);
        let mut trainer = Trainer::new(lab.start());
        lab.make(Move::Steps(5)).unwrap();
        (0..5).for_each(|_| _ = trainer.train_step());
        assert_eq!(lab.trainer().sample(50, 0).to_vec(), trainer.sample(50, 0).to_vec());
        let (mut copy, before) = (lab.aside(lab.script()).unwrap(), bits(&lab));
        let tape = Tape::new();
        tape.observe(|_| {});
        copy.trainer.critic_alone(&tape);
        assert_eq!(bits(&lab), before);
        lab.make(Move::Critic).unwrap();
        assert_eq!(lab.trainer.archive().to_bytes(), copy.trainer.archive().to_bytes());
    }

    /// An earlier state can be looked into, near one that is kept or not, while the lab stays where it is.
    #[test]
    fn an_earlier_state_aside() {
        let mut lab = lab(Model::Sngan);
        lab.go_to(&"30 d lr=1e-4 230 g".parse().unwrap()).unwrap();
        let before = bits(&lab);
        for script in ["", "12", "30 d", "30 d lr=1e-4 210"].map(|text| text.parse::<Script>().unwrap()) {
            let aside = lab.aside(&script).unwrap();
            let mut alone = self::lab(Model::Sngan);
            alone.go_to(&script).unwrap();
            assert_eq!(bits(&aside), bits(&alone), "{script}");
        }
        assert_eq!(bits(&lab), before);
    }

    /// A step that is shown is the same step, and the nets before it give the values of which its update was made.
    #[test]
    fn a_step_that_is_shown_is_a_step() {
        for model in [Model::Gan, Model::Wgan, Model::WganGp, Model::Sngan] {
            let [mut shown, mut plain] = [lab(model), lab(model)];
            let start = "3 n-dis=2 2".parse().unwrap();
            shown.go_to(&start).unwrap();
            plain.go_to(&start).unwrap();
            let mut step = shown.step_shown().unwrap().unwrap();
            plain.make(Move::Steps(1)).unwrap();
            assert_eq!(bits(&shown), bits(&plain), "{model:?}");
            step.before.prepare_critic();
            let values = step.critic.values.to_vec();
            let both = [step.critic.real.to_vec(), step.critic.generated.to_vec()].concat();
            let found = step.before.critic(&wengert::Tensor::from_vec([both.len() / 2, 2], both)).to_vec();
            assert!(found.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-4), "{model:?}: {found:?} {values:?}");
        }
    }

    #[test]
    fn steps_end_with_the_recipe() {
        let mut lab = Lab::new(Recipe { hidden: 4, batch: 4, steps: 3, ..Recipe::new(Toy::Ring, Model::Gan) }).unwrap();
        lab.make(Move::Steps(10)).unwrap();
        assert!(lab.is_over() && lab.script().to_string() == "3" && lab.step_shown().unwrap().is_none());
    }
}
