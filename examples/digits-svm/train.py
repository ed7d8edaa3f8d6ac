"""Trains a support vector machine on scikit-learn's handwritten digits, prints its accuracy, saves the model.

It is an ordinary program: `python train.py --C 10 --gamma 0.001` runs it by itself.
"""

import argparse
import os
from pathlib import Path

import joblib
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--C", type=float, default=1.0)
    parser.add_argument("--gamma", type=float, default=0.001)
    parser.add_argument("--degree", type=int, default=3)
    parser.add_argument("--kernel", choices=["rbf", "sigmoid", "poly", "linear"], default="rbf")
    parser.add_argument("--cv", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    digits, labels = load_digits(return_X_y=True)
    model = SVC(C=args.C, gamma=args.gamma, degree=args.degree, kernel=args.kernel)
    scores = cross_val_score(model, digits, labels, cv=args.cv)
    print(f"folds: {' '.join(f'{score:.4f}' for score in scores)}")
    print(f"accuracy={scores.mean():.6f}")
    if "SM_MODEL_DIR" in os.environ:  # what a training job leaves here is its model
        joblib.dump(model.fit(digits, labels), Path(os.environ["SM_MODEL_DIR"]) / "model.joblib")


if __name__ == "__main__":
    main()
