"""A support vector regression on scikit-learn's diabetes data; prints its error by cross-validation."""

import argparse

from sklearn.datasets import load_diabetes
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

parser = argparse.ArgumentParser()
parser.add_argument("--C", type=float, default=1.0)
parser.add_argument("--gamma", type=float, default=0.1)
parser.add_argument("--epsilon", type=float, default=0.1)
args = parser.parse_args()

features, target = load_diabetes(return_X_y=True)
model = make_pipeline(StandardScaler(), SVR(C=args.C, gamma=args.gamma, epsilon=args.epsilon))
scores = cross_val_score(model, features, target, cv=5, scoring="neg_root_mean_squared_error")
print(f"rmse={-scores.mean():.4f}")
