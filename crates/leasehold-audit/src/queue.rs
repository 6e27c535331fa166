//! A bounded queue whose taker is seldom woken.
//!
//! A thread that sleeps costs its waker a system call, and the machine two changes of thread: more than all the
//! rest that a record takes. So the taker, once woken, lets a moment pass before it looks, and whoever puts
//! something in meanwhile wakes nobody.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Makes a queue that holds `capacity` at most, at least one.
pub(crate) fn queue<T>(capacity: usize) -> (Putter<T>, Taker<T>) {
    let capacity = capacity.max(1);
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            waiting: VecDeque::with_capacity(capacity),
            taker: Taking::Awake,
            putters: 1,
        }),
        woken: Condvar::new(),
        room: Condvar::new(),
        capacity,
    });
    (Putter(Arc::clone(&shared)), Taker(shared))
}

/// Puts things in. Cheap to clone.
#[derive(Debug)]
pub(crate) struct Putter<T>(Arc<Shared<T>>);

/// Takes things out, in the order that they were put in.
#[derive(Debug)]
pub(crate) struct Taker<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    woken: Condvar,
    room: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    taker: Taking,
    putters: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taking {
    /// It will look by itself.
    Awake,
    /// It sleeps until it is woken.
    Asleep,
    /// It lets a moment pass, and needs to be woken only where the queue fills up.
    Gathering,
    /// There is none any longer.
    Gone,
}

impl<T> Putter<T> {
    /// Puts something in; returns it where there is no room or nobody to take it.
    pub(crate) fn try_put(&self, item: T) -> Result<(), T> {
        let state = self.0.state.lock();
        if state.waiting.len() >= self.0.capacity || state.taker == Taking::Gone {
            return Err(item);
        }
        self.0.put(state, item, false);
        Ok(())
    }

    /// Puts something in that is not to wait; blocks while there is no room. Returns it where there is nobody to
    /// take it.
    pub(crate) fn put_urgent(&self, item: T) -> Result<(), T> {
        let mut state = self.0.state.lock();
        while state.waiting.len() >= self.0.capacity && state.taker != Taking::Gone {
            self.0.room.wait(&mut state);
        }
        if state.taker == Taking::Gone {
            return Err(item);
        }
        self.0.put(state, item, true);
        Ok(())
    }
}

impl<T> Taker<T> {
    /// Waits for the next; `None` when there is none and no putter is left.
    pub(crate) fn take(&self) -> Option<T> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(item) = self.0.pop(&mut state) {
                return Some(item);
            }
            if state.putters == 0 {
                return None;
            }
            state.taker = Taking::Asleep;
            while state.taker == Taking::Asleep {
                self.0.woken.wait(&mut state);
            }
            if state.taker == Taking::Gathering {
                let _timed_out = self.0.woken.wait_for(&mut state, MOMENT);
                state.taker = Taking::Awake;
            }
        }
    }

    /// Takes the next, where there is one.
    pub(crate) fn try_take(&self) -> Option<T> {
        self.0.pop(&mut self.0.state.lock())
    }
}

impl<T> Shared<T> {
    fn put(&self, mut state: MutexGuard<'_, State<T>>, item: T, urgent: bool) {
        state.waiting.push_back(item);
        let filling = state.waiting.len() >= self.capacity / 2;
        let (next, wake) = match state.taker {
            Taking::Asleep if urgent || filling => (Taking::Awake, true),
            Taking::Asleep => (Taking::Gathering, true),
            Taking::Gathering if urgent || filling => (Taking::Awake, true),
            as_it_is => (as_it_is, false),
        };
        state.taker = next;
        drop(state);
        if wake {
            self.woken.notify_one();
        }
    }

    fn pop(&self, state: &mut State<T>) -> Option<T> {
        let was_full = state.waiting.len() >= self.capacity;
        let item = state.waiting.pop_front()?;
        if was_full {
            self.room.notify_all();
        }
        Some(item)
    }
}

impl<T> Clone for Putter<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().putters += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Putter<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.putters -= 1;
        if state.putters == 0 && state.taker != Taking::Gone {
            state.taker = Taking::Awake;
            self.0.woken.notify_one();
        }
    }
}

impl<T> Drop for Taker<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.taker = Taking::Gone;
        let left = std::mem::take(&mut state.waiting);
        drop(state);
        self.0.room.notify_all();
        // Outside the lock: what is lost may count itself.
        drop(left);
    }
}

/// Long enough that waking costs nothing, and short enough that nobody who reads the records waits.
const MOMENT: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_put_in_comes_out_in_order_until_the_last_putter_is_gone() {
        let (putter, taker) = queue(1000);
        let second = putter.clone();
        let taken = thread::spawn(move || {
            let mut taken = Vec::new();
            while let Some(item) = taker.take() {
                taken.push(item);
            }
            taken
        });
        for number in 0..1000 {
            let putter = if number % 2 == 0 { &putter } else { &second };
            putter.put_urgent(number).expect("a taker");
        }
        drop((putter, second));
        assert_eq!(taken.join().expect("no panic"), Vec::from_iter(0..1000));
    }

    #[test]
    fn a_full_queue_takes_nothing_and_an_urgent_thing_waits_for_room() {
        let (putter, taker) = queue(2);
        assert_eq!(putter.try_put(1), Ok(()));
        assert_eq!(putter.try_put(2), Ok(()));
        assert_eq!(putter.try_put(3), Err(3));
        let urgent = thread::spawn(move || putter.put_urgent(4));
        assert_eq!(taker.take(), Some(1));
        assert_eq!(urgent.join().expect("no panic"), Ok(()));
        assert_eq!(
            (taker.take(), taker.take(), taker.take()),
            (Some(2), Some(4), None)
        );
    }

    #[test]
    fn nothing_is_put_in_where_nobody_takes() {
        let (putter, taker) = queue(1);
        putter.try_put(1).expect("room");
        drop(taker);
        assert_eq!(putter.try_put(2), Err(2));
        assert_eq!(putter.put_urgent(2), Err(2));
    }

    #[test]
    fn a_taker_that_gathers_is_woken_by_what_is_urgent_and_by_a_queue_that_fills() {
        for (items, state) in [(1, Taking::Gathering), (4, Taking::Awake)] {
            let (putter, taker) = queue(8);
            taker.0.state.lock().taker = Taking::Asleep;
            for item in 0..items {
                putter.try_put(item).expect("room");
            }
            assert_eq!(taker.0.state.lock().taker, state, "{items}");
            putter.put_urgent(9).expect("room");
            assert_eq!(taker.0.state.lock().taker, Taking::Awake);
        }
    }
}
