//! Networks: parameters, layers, initialisation.
//!
//! [`Params`] stores parameters and buffers under PyTorch's names and lives outside tapes. Layers hold no values, only
//! places in the store. A [`Pass`] binds a store to a tape for one use and is what layers compute with: it says
//! whether weights are variables or constants, and whether running statistics and the vectors of spectral norm change.
//! [`Sequential`] puts layers one after another, [`Layer`] is what they have in common.
//!
//! ```
//! use wengert::{Rng, Tape, nn::{Init, Linear, Mode, Params, Pass}};
//! let mut rng = Rng::seed(0);
//! let mut params = Params::new();
//! let layer = Linear::new(&mut params.scope("l"), 3, 2, Init::PyTorch, &mut rng);
//!
//! let tape = Tape::new();
//! let pass = Pass::new(&params, &tape, Mode::Train);
//! let x = rng.normal::<f32>([5, 3]).into();
//! let loss = layer.forward(&pass, &x).powi(2).mean();
//! let gradients = pass.gradients(&loss.backward());
//! assert_eq!(gradients.get(params.id("l.weight").unwrap()).unwrap().shape(), &[2, 3].into());
//! ```

mod conv;
mod dropout;
mod grads;
mod init;
mod layer;
mod linear;
mod norm;
mod params;
mod pass;
mod weight;

pub use conv::{Conv2d, ConvTranspose2d};
pub use dropout::Dropout;
pub use grads::ParamGrads;
pub use init::Init;
pub use layer::{Layer, Sequential, SequentialBuilder};
pub use linear::{Embedding, Linear};
pub use norm::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm};
pub use params::{BufferId, CounterId, ParamId, Params, Scope};
pub use pass::{Mode, Pass};
pub use weight::{WeightOptions, weight_norm};
