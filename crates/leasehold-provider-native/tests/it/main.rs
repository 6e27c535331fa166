//! The native provider on real files: shared, killed, damaged, and searched for what it must hide.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod leak;
#[cfg(test)]
mod share;
