"""The strata every image stands on: compiler (build machine only), runtime, serving."""
