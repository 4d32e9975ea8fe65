"""An optimiser that has its variables before the first step."""


class Trained:
    """What all models share that `fit` trains.

    Keras lets TensorFlow make the moments of Adam while it traces the first training step, and a
    trace that made variables is thrown away and done again. With the variables made before,
    training begins after half the time; on the other backends they are there before anyway.
    """

    def make_train_function(self, force: bool = False):
        """Make the optimiser's variables, then do as `keras.Model.make_train_function`.

        Args:
            force: whether to make the function anew.

        Returns:
            What `keras.Model` returns.
        """
        self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)
