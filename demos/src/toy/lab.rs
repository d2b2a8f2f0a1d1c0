//! A trainer that remembers what was done to it, and goes back.

use anyhow::{Context, Result, ensure};
use wengert::{Archive, Tape};

use super::script::{Move, Script};
use super::{CriticUpdate, GeneratorUpdate, Recipe, Trainer};

/// Between two states that are kept, so many steps and updates are made at least.
const BETWEEN: u64 = 200;

/// A trainer with its past.
pub struct Lab {
    start: Recipe,
    trainer: Trainer,
    script: Script,
    /// States to come back to, with the script, the recipe at that moment, and the losses.
    kept: Vec<Kept>,
    losses: [f64; 2],
}

struct Kept {
    script: Script,
    recipe: Recipe,
    archive: Archive,
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

    /// Does something. Steps after the last of the recipe are not made.
    ///
    /// # Errors
    /// Training has diverged; the state is that after the fault.
    pub fn make(&mut self, next: Move) -> Result<()> {
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
    /// Training has diverged.
    pub fn step_shown(&mut self) -> Result<Option<(CriticUpdate, GeneratorUpdate)>> {
        if self.is_over() {
            return Ok(None);
        }
        let (critic, generator) = self.trainer.train_step_shown();
        self.losses = [critic.loss, generator.loss];
        self.note(Move::Steps(1))?;
        Ok(Some((critic, generator)))
    }

    fn note(&mut self, made: Move) -> Result<()> {
        self.script.push(made);
        let finite = self.losses.iter().all(|loss| !loss.is_infinite())
            && (self.trainer.step() == 0 || {
                let [d, g] = self.losses;
                d.is_finite() && g.is_finite()
            });
        let step = self.trainer.step();
        ensure!(finite, "training has diverged at step {step}; try a smaller learning rate, or another seed");
        let last = self.kept.last().map_or(0, |kept| kept.script.updates());
        if self.script.updates() >= last + BETWEEN {
            let (script, recipe) = (self.script.clone(), self.trainer.recipe().clone());
            self.kept.push(Kept { script, recipe, archive: self.trainer.archive(), losses: self.losses });
        }
        Ok(())
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
                self.trainer.restore(&kept.archive).context("a state that was kept")?;
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

    /// A trainer in the same state, on which things can be tried.
    ///
    /// # Errors
    /// None that is known: the archive is of this trainer.
    pub fn copy(&self) -> Result<Trainer> {
        let mut copy = Trainer::new(self.trainer.recipe());
        copy.restore(&self.trainer.archive()).context("a copy of the nets")?;
        Ok(copy)
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

    /// Steps alone are what `gan toy` trains; a copy changes nothing, and neither do watched tapes.
    #[test]
    fn steps_are_those_of_a_trainer() {
        let mut lab = lab(Model::WganGp);
        let mut trainer = Trainer::new(lab.start());
        lab.make(Move::Steps(5)).unwrap();
        (0..5).for_each(|_| _ = trainer.train_step());
        assert_eq!(lab.trainer().sample(50, 0).to_vec(), trainer.sample(50, 0).to_vec());
        let (mut copy, before) = (lab.copy().unwrap(), bits(&lab));
        let tape = Tape::new();
        tape.observe(|_| {});
        copy.critic_alone(&tape);
        assert_eq!(bits(&lab), before);
        lab.make(Move::Critic).unwrap();
        assert_eq!(lab.copy().unwrap().archive().to_bytes(), copy.archive().to_bytes());
    }

    #[test]
    fn steps_end_with_the_recipe() {
        let mut lab = Lab::new(Recipe { hidden: 4, batch: 4, steps: 3, ..Recipe::new(Toy::Ring, Model::Gan) }).unwrap();
        lab.make(Move::Steps(10)).unwrap();
        assert!(lab.is_over() && lab.script().to_string() == "3" && lab.step_shown().unwrap().is_none());
    }
}
