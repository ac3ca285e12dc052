def arguments():
    return ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max"]
