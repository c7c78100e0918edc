
mod supervise;
