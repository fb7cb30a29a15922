package stage

// A Checker is a part of a stage's options that knows what is wrong with itself, for who makes the
// stage and can return an error.
type Checker interface{ Check() error }
