"""A random forest on the digits, written for SageMaker's scikit-learn image: arguments, SM_* variables, a printed metric."""

import argparse
import os

import joblib
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--n-estimators", type=int, default=10)
    parser.add_argument("--max-features", type=float, default=0.5)
    parser.add_argument("--criterion", type=str, default="gini")
    parser.add_argument("--model-dir", type=str, default=os.environ.get("SM_MODEL_DIR"))
    parser.add_argument("--train", type=str, default=os.environ.get("SM_CHANNEL_TRAIN"))
    args, _ = parser.parse_known_args()

    files = [os.path.join(args.train, name) for name in os.listdir(args.train)]
    data = pd.concat(pd.read_csv(path, header=None) for path in files)
    y, x = data.iloc[:, 0], data.iloc[:, 1:]

    model = RandomForestClassifier(
        n_estimators=args.n_estimators, max_features=args.max_features, criterion=args.criterion, random_state=0
    )
    print(f"accuracy={cross_val_score(model, x, y, cv=3).mean():.6f};", flush=True)
    joblib.dump(model.fit(x, y), os.path.join(args.model_dir, "model.joblib"))
