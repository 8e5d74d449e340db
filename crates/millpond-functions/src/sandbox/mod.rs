//! What a function's process may see and take, and how far the kernel enforces it.
//!
//! A function is started by a *launcher*: this same program, run as `millpond __function`. It has no threads, no runtime and no open files of the
//! server. It reads a [`Plan`] from its standard input (a socket to the server), shuts itself in, and starts the function's runtime. It stays as the
//! runtime's parent: it reaps what the function leaves behind, tells the server how the runtime ended, and takes everything with it when it dies or
//! the server does.
//!
//! With namespaces there are two of them: the outer one makes the namespaces, and the inner one is process 1 in there, which mounts the function's
//! own file tree and drops what is left of its rights. When process 1 ends the kernel ends everything in its namespace.
//!
//! A network of its own is made by the outer launcher, too: it listens in there where the server is to be reached, and passes the listening sockets to
//! the server, which thereby takes connections of a network that it is not in.

pub mod address;
mod confine;
mod launcher;
mod netlink;
mod network;
mod plan;
mod tree;

pub use launcher::main;
pub use plan::{Bind, Files, Isolation, Landlock, Limits, Message, Namespaces, Network, Plan, Tmp, Users};

/// The variable by which the outer launcher hands the plan to the inner one. (An argument would show the function's secrets to everybody.)
const PLAN_VARIABLE: &str = "MILLPOND_FUNCTION_PLAN";

/// The argument that makes a launcher the inner one.
const INNER: &str = "inner";
