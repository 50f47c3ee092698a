"""What the sweeps search: one function a model, from a trial to the arguments of its ``fit``."""

import optuna

Dials = dict[str, int | float]


def vae(trial: optuna.Trial) -> Dials:
    """Beta, sizes, dropout, learning rate, batch normalisation and the penalty of the head of the tag VAE."""
    return {
        "beta": trial.suggest_float("beta", 0.05, 1.0, log=True),
        "latent_dim": trial.suggest_categorical("latent_dim", [8, 16, 32, 64, 128]),
        "hidden_dim": trial.suggest_categorical("hidden_dim", [64, 128, 256, 512]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.4),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 5e-3, log=True),
        "batch_norm": trial.suggest_categorical("batch_norm", [False, True]),
        "penalty": trial.suggest_float("penalty", 1e-4, 1e-2, log=True),
        "head": True,
        "batch_size": 32,
    }


def captioner(trial: optuna.Trial) -> Dials:
    """Rank, scale, dropout, learning rate and epochs of the captioner's adapter."""
    return {
        "rank": trial.suggest_categorical("rank", [8, 16, 32, 64]),
        "alpha": trial.suggest_categorical("alpha", [8, 16, 32, 64]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.3),
        "learning_rate": trial.suggest_float("learning_rate", 2e-4, 4e-3, log=True),
        "epochs": trial.suggest_int("epochs", 1, 2),
        "batch_size": 8,
        "max_tokens": 256,
    }
