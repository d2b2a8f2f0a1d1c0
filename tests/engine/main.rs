//! The engine part by part. One program, since what is generic is compiled anew for each program of tests.

mod choice;
mod edges;
mod fused;
mod gradcheck;
mod gradcheck_table;
mod index;
mod loss;
mod nn;
mod norm;
mod numbers;
mod optim;
mod portable;
mod properties;
mod softmax;
mod spectral;
mod state;
mod support;
mod tape;
mod trace;
mod views;
