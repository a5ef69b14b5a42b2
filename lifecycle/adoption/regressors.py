"""The estimators to choose from: `estimator:` in params.yaml names one, `hyperparameters:` holds the settings of each.

YOURS TO EDIT. An estimator is a class here, whose fields are its hyperparameters, and a line in `Hyperparameters`.
Its `build` returns an unfitted scikit-learn pipeline that takes the matrix of features.py and predicts the target.
`build` imports scikit-learn itself, because the import takes longer than most stages' work.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from lifecycle.shared.settings import Settings
from model.features import CATEGORICAL, NAMES

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]

# Replaces a missing value in estimators whose export does not support them: less than any valid value.
_BELOW_ALL = -999

_CATEGORICAL = list(range(len(CATEGORICAL)))
_NUMERIC = list(range(len(CATEGORICAL), len(NAMES)))


class HistGradientBoosting(Settings):
    """Gradient boosting over binned features. Categories are ordinal codes: the export of native ones is wrong."""

    loss: Literal["squared_error", "absolute_error", "poisson", "gamma"]
    max_iter: Count
    learning_rate: Positive
    max_leaf_nodes: Annotated[int, Field(gt=1)]
    min_samples_leaf: Count
    max_features: Annotated[float, Field(gt=0, le=1)]
    l2_regularization: NonNegative

    def build(self, seed: int) -> Any:
        """Return the unfitted pipeline."""
        from sklearn.ensemble import HistGradientBoostingRegressor
        from sklearn.pipeline import Pipeline

        regressor = HistGradientBoostingRegressor(**self.model_dump(), early_stopping=False, random_state=seed)
        return Pipeline([("regressor", regressor)])


class Ridge(Settings):
    """Linear model over one-hot categories and standardised numbers, with the median for missing numbers."""

    alpha: NonNegative

    def build(self, seed: int) -> Any:
        """Return the unfitted pipeline."""
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import Ridge as Regressor
        from sklearn.pipeline import Pipeline, make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        steps = [
            ("categories", OneHotEncoder(handle_unknown="ignore"), _CATEGORICAL),
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), _NUMERIC),
        ]
        encode = ColumnTransformer([step for step in steps if step[2]])
        return Pipeline([("encode", encode), ("regressor", Regressor(**self.model_dump(), random_state=seed))])


class RandomForest(Settings):
    """Averaged trees. The largest model file and the slowest training of the four."""

    n_estimators: Count
    min_samples_leaf: Count
    max_features: Annotated[float, Field(gt=0, le=1)] | Literal["sqrt", "log2"]

    def build(self, seed: int) -> Any:
        """Return the unfitted pipeline."""
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import Pipeline

        impute = SimpleImputer(strategy="constant", fill_value=_BELOW_ALL)
        regressor = RandomForestRegressor(**self.model_dump(), n_jobs=-1, random_state=seed)
        return Pipeline([("impute", impute), ("regressor", regressor)])


class LightGBM(Settings):
    """Microsoft's gradient boosting."""

    n_estimators: Count
    learning_rate: Positive
    num_leaves: Annotated[int, Field(gt=1)]
    min_child_samples: Count
    colsample_bytree: Annotated[float, Field(gt=0, le=1)]
    reg_lambda: NonNegative

    def build(self, seed: int) -> Any:
        """Return the unfitted pipeline."""
        from lightgbm import LGBMRegressor
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import Pipeline

        # LightGBM takes a missing value for 0 if training had none in that column, but its export does not.
        impute = SimpleImputer(strategy="constant", fill_value=_BELOW_ALL)
        # Without the last two arguments, the result depends on the number of cores.
        regressor = LGBMRegressor(
            **self.model_dump(), random_state=seed, verbose=-1, deterministic=True, force_row_wise=True
        )
        return Pipeline([("impute", impute), ("regressor", regressor)])


class Hyperparameters(Settings):
    """The settings of every estimator that `estimator:` can name."""

    hist_gradient_boosting: HistGradientBoosting
    ridge: Ridge
    random_forest: RandomForest
    lightgbm: LightGBM
