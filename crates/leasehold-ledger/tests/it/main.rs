//! The ledger on real files: written, shared, killed, damaged, repaired, and on a disk that is full.

#[cfg(test)]
mod book;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod full;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod share;
