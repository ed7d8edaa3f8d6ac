"""A linear classifier trained epoch by epoch, in the manner of the public examples: a metric after each, then a model."""

import argparse
import os

import joblib
import numpy as np
import pandas as pd
from sklearn.linear_model import SGDClassifier


def load(folder):
    files = [os.path.join(folder, name) for name in os.listdir(folder)]
    if not files:
        raise ValueError(f"There are no files in {folder}.")
    data = pd.concat([pd.read_csv(file, header=None) for file in files])
    return data.iloc[:, 1:].to_numpy() / 16, data.iloc[:, 0].to_numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--alpha", type=float, default=1e-4)
    parser.add_argument("--output-data-dir", type=str, default=os.environ["SM_OUTPUT_DATA_DIR"])
    parser.add_argument("--model-dir", type=str, default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--train", type=str, default=os.environ["SM_CHANNEL_TRAIN"])
    args = parser.parse_args()

    x, y = load(args.train)
    held_out = np.arange(len(y)) % 4 == 0
    model = SGDClassifier(alpha=args.alpha, random_state=0)
    for epoch in range(args.epochs):
        model.partial_fit(x[~held_out], y[~held_out], classes=np.unique(y))
        print(f"epoch={epoch} accuracy={model.score(x[held_out], y[held_out]):.4f};", flush=True)
    joblib.dump(model, os.path.join(args.model_dir, "model.joblib"))
    with open(os.path.join(args.output_data_dir, "coefficients.csv"), "w") as file:
        np.savetxt(file, model.coef_, delimiter=",")
