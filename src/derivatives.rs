//! Derivatives in the forms in which people ask for them, all from walks backwards: values alone, products with a given
//! vector from either side, whole matrices of them. They are methods of [`Var`].
//!
//! For a scalar L, [`backward`](Var::backward) and [`grad`](Var::grad) give ∇L. What else there is, with
//! J = ∂y/∂x of a value y of any shape, and H = ∂²L/∂x²:
//!
//! | | what | recorded | walks |
//! |---|---|---|---|
//! | [`grad`](Var::grad) | ∇L | yes | 1 |
//! | [`grad_values`](Var::grad_values) | ∇L | no | 1 |
//! | [`vjp`](Var::vjp) | Jᵀv | yes | 1 |
//! | [`vjp_values`](Var::vjp_values) | Jᵀv | no | 1 |
//! | [`jvp`](Var::jvp) | Jv | yes | 2 |
//! | [`hvp`](Var::hvp) | Hv | yes | 2 |
//! | [`jacobian`](Var::jacobian) | J | no | one for each element of y |
//! | [`hessian`](Var::hessian) | H | the gradient | 1 and one for each element of x |
//! | [`backward`](Var::backward), [`backward_from`](Var::backward_from) | ∇L, Jᵀv | no, it consumes the tape | 1 |
//!
//! With respect to the weights of a network: `pass.param(params.id("layer.weight").unwrap())` is the variable that a
//! [`Pass`](crate::nn::Pass) uses for one.
//!
//! Second derivatives of each sample by itself, such as u″ at many points of a line, need no Hessian: samples do not
//! depend on each other, so the gradient of the sum over them has the derivative of each in its own row.
//!
//! ```
//! use wengert::{Tape, Tensor};
//! let tape = Tape::<f64>::new();
//! let x = tape.var(Tensor::from_vec([3, 1], vec![0.0, 1.0, 2.0])); // three samples
//! let u = x.sin();
//! let du = u.sum().grad(&[&x]).remove(0); // u′ at each
//! let ddu = du.sum().grad(&[&x]).remove(0); // u″ at each
//! let worst = (ddu + u).abs().max().item(); // sin″ = −sin
//! assert!(worst < 1e-15);
//! ```
//!
//! What is recorded can be differentiated again, and stays on the tape, which grows; the others leave the tape as it
//! is, so that they can be called as often as one likes.

use crate::gradients::Gradients;
use crate::kernels::Element;
use crate::shape::{MAX_RANK, Shape};
use crate::tensor::Tensor;
use crate::var::Var;

impl<T: Element> Var<T> {
    /// The values of the gradients of this scalar with respect to `wrt`: as [`grad`](Var::grad), but nothing is
    /// recorded, and the tape is as it was. (PyTorch: `autograd.grad` with `retain_graph=True`.)
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::<f64>::new();
    /// let x = tape.var(Tensor::from_vec([2], vec![1.0, 3.0]));
    /// let (square, loss) = (x.powi(2), x.powi(2).sum());
    /// let nodes = tape.len();
    /// for _ in 0..1000 {
    ///     assert_eq!(loss.grad_values(&[&x])[0].to_vec(), [2.0, 6.0]);
    /// }
    /// assert_eq!(tape.len(), nodes);
    /// // With respect to a value in between:
    /// assert_eq!(square.sum().grad_values(&[&square])[0].to_vec(), [1.0, 1.0]);
    /// ```
    ///
    /// # Panics
    /// As [`grad`](Var::grad).
    #[track_caller]
    pub fn grad_values(&self, wrt: &[&Var<T>]) -> Vec<Tensor<T>> {
        values(self.walk("grad_values", self.one("grad_values"), wrt, false))
    }

    /// The product of a vector with the Jacobian of this value, Jᵀv, for each of `wrt`: the gradient of ⟨y, v⟩ with v
    /// held constant. `v`, of this value's shape, may be a variable of the tape, or made of such: the product can be
    /// differentiated with respect to it. (PyTorch: `autograd.grad` with `grad_outputs=v` and `create_graph=True`.)
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::<f64>::new();
    /// let x = tape.var(Tensor::from_vec([2], vec![1.0, 3.0]));
    /// let v = Tensor::from_vec([2], vec![10.0, 100.0]).into();
    /// let product = x.powi(3).vjp(&v, &[&x]).remove(0); // 3x² v
    /// assert_eq!(product.value().to_vec(), [30.0, 2700.0]);
    /// assert_eq!(product.sum().grad_values(&[&x])[0].to_vec(), [60.0, 1800.0]); // 6x v
    /// ```
    ///
    /// # Panics
    /// If `v` is of another shape or on another tape, and as [`grad`](Var::grad), but that any shape is right.
    #[track_caller]
    pub fn vjp(&self, v: &Var<T>, wrt: &[&Var<T>]) -> Vec<Var<T>> {
        self.walk("vjp", self.seed("vjp", v), wrt, true)
    }

    /// The values of [`vjp`](Var::vjp): nothing is recorded, and the tape is as it was. (PyTorch: `autograd.grad` with
    /// `grad_outputs=v` and `retain_graph=True`.)
    ///
    /// # Panics
    /// As [`vjp`](Var::vjp).
    #[track_caller]
    pub fn vjp_values(&self, v: &Tensor<T>, wrt: &[&Var<T>]) -> Vec<Tensor<T>> {
        values(self.walk("vjp_values", self.seed("vjp_values", &v.into()), wrt, false))
    }

    /// [`backward`](Var::backward) of ⟨y, v⟩, where y is this value and `v` a gradient of its shape: an adjoint that is
    /// given. It consumes the tape. (PyTorch: `y.backward(v)`.)
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::<f64>::new();
    /// let x = tape.var(Tensor::from_vec([2], vec![1.0, 3.0]));
    /// let v = Tensor::from_vec([2], vec![10.0, 100.0]);
    /// assert_eq!(x.powi(2).backward_from(&v).wrt(&x).to_vec(), [20.0, 600.0]);
    /// ```
    ///
    /// # Panics
    /// If `v` is of another shape, and as [`backward`](Var::backward), but that any shape is right.
    #[track_caller]
    pub fn backward_from(&self, v: &Tensor<T>) -> Gradients<T> {
        self.consume("backward_from", self.seed("backward_from", &v.into()))
    }

    /// The product of the Jacobian of this value with vectors, Jv = Σᵢ (∂y/∂xᵢ) vᵢ, of the shape of this value y: how
    /// it changes when each of `wrt` moves along its vector.
    ///
    /// Two walks backwards do it: Jᵀu is linear in u, and its derivative with respect to u, times v, is Jv. (Two walks
    /// for all inputs together; PyTorch's `autograd.functional.jvp` goes the same way.)
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::<f64>::new();
    /// let x = tape.var(Tensor::from_vec([1, 2], vec![3.0, 4.0]));
    /// let w = tape.var(Tensor::from_vec([2, 1], vec![1.0, 2.0]));
    /// let along = [Tensor::ones([1, 2]).into(), Tensor::zeros([2, 1]).into()];
    /// assert_eq!(x.matmul(&w).jvp(&[&x, &w], &along).value().to_vec(), [3.0]); // 1·1 + 1·2
    /// ```
    ///
    /// # Panics
    /// If there is not one vector for each of `wrt`, of its shape, and as [`vjp`](Var::vjp).
    #[track_caller]
    pub fn jvp(&self, wrt: &[&Var<T>], vectors: &[Var<T>]) -> Var<T> {
        for vector in vectors {
            self.check_same_tape("jvp", vector);
        }
        // The derivative with respect to u is the same at every u; at 1 nothing is multiplied by zero.
        let u = self.node("jvp").0.var(self.value().filled(1.0));
        let products = self.walk("jvp", u.clone(), wrt, true);
        check_vectors("jvp", &products, vectors);
        match inner(&products, vectors) {
            Some(product) if product.is_tracked() => product.walk("jvp", product.one("jvp"), &[&u], true).remove(0),
            _ => self.value().filled(0.0).into(),
        }
    }

    /// The product of this scalar's Hessian with vectors, one for each of `wrt`, without forming it: for each xᵢ,
    /// Σⱼ (∂²L/∂xᵢ∂xⱼ) vⱼ = ∂⟨∇L, v⟩/∂xᵢ with v held constant, as in [`vjp`](Var::vjp).
    ///
    /// Each call records a gradient and its derivative. For many products on one tape take the gradient once:
    /// `let g = loss.grad(&[&x]).remove(0)`, then `g.vjp_values(&v, &[&x])` as often as needed, which records nothing.
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::<f64>::from_vec([2], vec![1.0, 2.0]));
    /// let loss = x.powi(3).sum(); // its Hessian is diag(6x)
    /// let v = Tensor::from_vec([2], vec![10.0, 100.0]);
    /// let product = loss.hvp(&[&x], &[v.into()]).remove(0);
    /// assert_eq!(product.value().to_vec(), [60.0, 1200.0]);
    /// ```
    ///
    /// # Panics
    /// If there is not one vector for each of `wrt`, of its shape, and as [`grad`](Var::grad).
    #[track_caller]
    pub fn hvp(&self, wrt: &[&Var<T>], vectors: &[Var<T>]) -> Vec<Var<T>> {
        let gradients = self.walk("hvp", self.one("hvp"), wrt, true);
        check_vectors("hvp", &gradients, vectors);
        for vector in vectors {
            self.check_same_tape("hvp", vector);
        }
        let slopes: Vec<(Var<T>, Var<T>)> = match vectors.iter().any(Var::is_tracked) {
            // ⟨∇L, v⟩ depends on x through v as well, so each gradient is differentiated by itself, v its seed.
            true => gradients.iter().cloned().zip(vectors.iter().cloned()).collect(),
            false => inner(&gradients, vectors).map(|slope| (slope, Tensor::scalar(1.0).into())).into_iter().collect(),
        };
        let mut products: Vec<Var<T>> = wrt.iter().map(|x| x.value().filled(0.0).into()).collect();
        for (slope, seed) in slopes {
            // A gradient that is a constant adds nothing.
            if slope.is_tracked() {
                let parts = slope.walk("hvp", seed, wrt, true);
                products = products.iter().zip(parts).map(|(sum, part)| sum + part).collect();
            }
        }
        products
    }

    /// The whole Jacobian of this value y with respect to each of `wrt`, of the shape of y followed by that of x,
    /// element by element of y: for small functions. (As PyTorch's `autograd.functional.jacobian`.) The tape is as it
    /// was.
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::<f64>::new();
    /// let x = tape.var(Tensor::from_vec([2], vec![1.0, 3.0]));
    /// let jacobian = x.powi(2).jacobian(&[&x]).remove(0);
    /// assert_eq!((jacobian.shape(), jacobian.to_vec()), (&[2, 2].into(), vec![2.0, 0.0, 0.0, 6.0]));
    /// ```
    ///
    /// # Panics
    /// If the two shapes have more than [`MAX_RANK`](crate::MAX_RANK) axes together, and as [`vjp`](Var::vjp).
    #[track_caller]
    pub fn jacobian(&self, wrt: &[&Var<T>]) -> Vec<Tensor<T>> {
        let mut shapes = Vec::with_capacity(wrt.len());
        for x in wrt {
            shapes.push(followed("jacobian", self.shape(), x.shape()));
        }
        let mut rows = vec![Vec::new(); wrt.len()];
        for k in 0..self.value().size() {
            let mut unit = vec![T::of(0.0); self.value().size()];
            unit[k] = T::of(1.0);
            let unit = Tensor::from_vec(*self.shape(), unit);
            let row = self.walk("jacobian", self.seed("jacobian", &unit.into()), wrt, false);
            rows.iter_mut().zip(row).for_each(|(rows, part)| rows.extend(part.value().to_vec()));
        }
        shapes.into_iter().zip(rows).map(|(shape, rows)| Tensor::from_vec(shape, rows)).collect()
    }

    /// The whole Hessian of this scalar: in row i and column j ∂²L/∂xᵢ∂xⱼ, of the shape of xᵢ followed by that of xⱼ,
    /// for small functions. (As PyTorch's `autograd.functional.hessian`.) The tape grows by what the gradient records.
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::<f64>::new();
    /// let (x, y) = (tape.var(Tensor::scalar(2.0)), tape.var(Tensor::scalar(5.0)));
    /// let hessian = (&x * &x * &y).hessian(&[&x, &y]);
    /// let numbers: Vec<f64> = hessian.iter().flatten().map(|h| h.item()).collect();
    /// assert_eq!(numbers, [10.0, 4.0, 4.0, 0.0]); // 2y, 2x, 2x, 0
    /// ```
    ///
    /// # Panics
    /// If two shapes have more than [`MAX_RANK`](crate::MAX_RANK) axes together, and as [`grad`](Var::grad).
    #[track_caller]
    pub fn hessian(&self, wrt: &[&Var<T>]) -> Vec<Vec<Tensor<T>>> {
        for (row, column) in wrt.iter().flat_map(|row| wrt.iter().map(move |column| (row, column))) {
            followed("hessian", row.shape(), column.shape());
        }
        let row = |gradient: Var<T>| match gradient.is_tracked() {
            true => gradient.jacobian(wrt),
            false => wrt.iter().map(|x| Tensor::zeros(followed("hessian", gradient.shape(), x.shape()))).collect(),
        };
        self.walk("hessian", self.one("hessian"), wrt, true).into_iter().map(row).collect()
    }

    /// The gradient that the derivative of a scalar begins with.
    #[track_caller]
    pub(crate) fn one(&self, what: &str) -> Var<T> {
        assert!(self.value().size() == 1, "{what}: expected a scalar, found shape {}; sum it first", self.shape());
        self.value().filled(1.0).into()
    }

    /// A gradient of this value to begin with.
    #[track_caller]
    fn seed(&self, what: &str, v: &Var<T>) -> Var<T> {
        let (expected, found) = (self.shape(), v.shape());
        assert!(found == expected, "{what}: expected a vector of the shape of the value, {expected}, found {found}");
        self.check_same_tape(what, v);
        v.clone()
    }

    /// Refuses a vector on another tape.
    #[track_caller]
    fn check_same_tape(&self, what: &str, v: &Var<T>) {
        if let (Some(own), Some(other)) = (self.tape(), v.tape()) {
            assert!(own.is(other), "{what}: the vector is on another tape than the value");
        }
    }
}

/// Checks that there is a vector for each variable, of its shape.
#[track_caller]
fn check_vectors<T: Element>(what: &str, variables: &[Var<T>], vectors: &[Var<T>]) {
    let (expected, found) = (variables.len(), vectors.len());
    assert!(expected == found, "{what}: {expected} variables and {found} vectors; expected one for each variable");
    for (i, (variable, vector)) in variables.iter().zip(vectors).enumerate() {
        let (expected, found) = (variable.shape(), vector.shape());
        assert!(expected == found, "{what}: vector {i} is for a variable of shape {expected}, found {found}");
    }
}

/// Σᵢ ⟨aᵢ, bᵢ⟩; `None` for none.
fn inner<T: Element>(a: &[Var<T>], b: &[Var<T>]) -> Option<Var<T>> {
    a.iter().zip(b).map(|(a, b)| (a * b).sum()).reduce(|sum, next| sum + next)
}

/// The axes of a shape and then those of another.
#[track_caller]
fn followed(what: &str, first: &Shape, then: &Shape) -> Shape {
    let rank = first.len() + then.len();
    assert!(
        rank <= MAX_RANK,
        "{what}: of a value of shape {first} with respect to {then}: {rank} axes, expected at most {MAX_RANK} together"
    );
    first.iter().chain(then.iter()).copied().collect()
}

fn values<T: Element>(gradients: Vec<Var<T>>) -> Vec<Tensor<T>> {
    gradients.into_iter().map(Var::into_value).collect()
}
