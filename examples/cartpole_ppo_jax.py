"""Learn to balance a pole with PPO, while a population of 32 tunes PPO.

Proximal Policy Optimization (Schulman et al. 2017, arXiv 1707.06347) on the cart and pole of Barto,
Sutton and Anderson (1983), with the numbers of Gym's CartPole-v1, in plain JAX. All is written for
one member; all members train as one program. A mean return of 475 of 500 counts as solved.

    python examples/cartpole_ppo_jax.py           # about a minute on two cores
    python examples/cartpole_ppo_jax.py --quick   # just to see it run
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import optax

import heredity as hd
import heredity.jax as hj

LIMIT = 500  # steps of an episode, each of which earns 1
ENVIRONMENTS, LENGTH = 8, 32  # an update learns from 8 environments, 32 steps of each
EPOCHS, MINIBATCHES = 4, 4  # of an update


def reset(key):
    """A fresh environment. Its body is [position, speed, angle, spin] in m, rad and seconds."""
    return {"body": jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05), "age": jnp.int32(0)}


def move(env, action):
    """Push left (0) or right (1) for 0.02 s. Returns also whether the pole or the cart is lost."""
    _, speed, angle, spin = env["body"]
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    push = (20.0 * action - 10.0 + 0.05 * spin**2 * sin) / 1.1
    twist = (9.8 * sin - push * cos) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    body = env["body"] + 0.02 * jnp.stack([speed, push - 0.05 * twist * cos / 1.1, spin, twist])
    lost = (jnp.abs(body[0]) > 2.4) | (jnp.abs(body[2]) > jnp.deg2rad(12.0))
    return {"body": body, "age": env["age"] + 1}, lost


def network(key, outputs):
    shapes = (4, 32), (32, 32), (32, outputs)
    weights = map(jax.nn.initializers.lecun_normal(), jax.random.split(key, 3), shapes)
    return [(weight, jnp.zeros(weight.shape[1])) for weight in weights]


def apply(layers, x):
    for weight, bias in layers[:-1]:
        x = jnp.tanh(x @ weight + bias)
    return x @ layers[-1][0] + layers[-1][1]


def init(key, hparams):
    policy, value, start = jax.random.split(key, 3)
    net = {"policy": network(policy, 2), "value": network(value, 1)}
    envs = jax.vmap(reset)(jax.random.split(start, ENVIRONMENTS))
    return {"net": net, "adam": optax.adam(hparams["lr"]).init(net), "envs": envs}


def surprisal(net, body, action):
    """−log of the policy's chance of an action."""
    return optax.softmax_cross_entropy_with_integer_labels(apply(net["policy"], body), action)


def act(net, env, key):
    """One step of one environment, which starts anew once its episode is over."""
    choice, start = jax.random.split(key)
    action = jax.random.categorical(choice, apply(net["policy"], env["body"]))
    after, lost = move(env, action)
    over = lost | (after["age"] == LIMIT)
    seen = {"body": env["body"], "action": action, "after": after["body"], "lost": lost}
    seen |= {"over": over, "surprisal": surprisal(net, env["body"], action)}
    return jax.tree.map(partial(jnp.where, over), reset(start), after), seen


def play(net, hparams, env, key):
    """`LENGTH` steps of one environment, and the advantage of each: generalized advantage
    estimation (Schulman et al. 2015, arXiv 1506.02438)."""
    env, seen = jax.lax.scan(partial(act, net), env, jax.random.split(key, LENGTH))
    value, following = (apply(net["value"], seen[when])[:, 0] for when in ("body", "after"))
    # Only what is lost is worth nothing: an episode that the limit ends could have gone on.
    surprise = 1 + hparams["discount"] * jnp.where(seen["lost"], 0, following) - value
    decay = jnp.where(seen["over"], 0, hparams["discount"] * hparams["gae_lambda"])

    def back(later, now):
        advantage = now[0] + now[1] * later
        return advantage, advantage

    _, advantage = jax.lax.scan(back, jnp.float32(0), (surprise, decay), reverse=True)
    return env, {**seen, "advantage": advantage, "return": advantage + value}


def loss(net, hparams, seen):
    """Equation 9 of the paper, as a loss: clipped surrogate, error of the value, entropy."""
    ratio = jnp.exp(seen["surprisal"] - surprisal(net, seen["body"], seen["action"]))
    clipped = jnp.clip(ratio, 1 - hparams["clip"], 1 + hparams["clip"])
    advantage = jax.nn.standardize(seen["advantage"])
    surrogate = jnp.minimum(ratio * advantage, clipped * advantage).mean()
    error = jnp.square(apply(net["value"], seen["body"])[:, 0] - seen["return"]).mean()
    logits = apply(net["policy"], seen["body"])
    entropy = optax.softmax_cross_entropy(logits, jax.nn.softmax(logits)).mean()
    return 0.5 * error - surrogate - hparams["entropy_cost"] * entropy


def step(state, hparams, batch, key):
    """One update: play, then learn from what was seen, several times over."""
    playing, mixing = jax.random.split(key)
    keys = jax.random.split(playing, ENVIRONMENTS)
    envs, seen = jax.vmap(partial(play, state["net"], hparams))(state["envs"], keys)
    seen = jax.tree.map(lambda a: a.reshape(ENVIRONMENTS * LENGTH, *a.shape[2:]), seen)

    def learn(learner, rows):
        net, adam = learner
        gradient = jax.grad(loss)(net, hparams, jax.tree.map(lambda a: a[rows], seen))
        change, adam = optax.adam(hparams["lr"]).update(gradient, adam)
        return (optax.apply_updates(net, change), adam), None

    mix = partial(jax.random.permutation, x=ENVIRONMENTS * LENGTH)
    rows = jax.vmap(mix)(jax.random.split(mixing, EPOCHS)).reshape(EPOCHS * MINIBATCHES, -1)
    (net, adam), _ = jax.lax.scan(learn, (state["net"], state["adam"]), rows)
    return {"net": net, "adam": adam, "envs": envs}


def episode(net, key):
    """The return of an episode, with the policy as it trains, chance and all."""
    start, acting = jax.random.split(key)
    _, seen = jax.lax.scan(partial(act, net), reset(start), jax.random.split(acting, LIMIT))
    return jnp.where(seen["lost"].any(), 1 + seen["lost"].argmax(), LIMIT)


def evaluate(state, hparams, key, episodes=20):
    return jax.vmap(partial(episode, state["net"]))(jax.random.split(key, episodes)).mean()


def inherit(own, donor):
    """Take over what the donor learned, and play on in one's own environments: copies of the
    donor's would only show the population less."""
    return {**donor, "envs": own["envs"]}


def main(updates=100, storage="runs"):
    study = hd.Study(
        hj.VectorTrainable(init, step, evaluate, inherit=inherit),
        hd.Space(
            lr=hd.LogUniform(1e-4, 1e-2),
            entropy_cost=hd.LogUniform(1e-4, 0.1),
            clip=hd.Uniform(0.05, 0.4),
            discount=hd.ReverseLogUniform(0.9, 0.999),
            gae_lambda=hd.ReverseLogUniform(0.8, 0.99),
        ),
        objective=hd.maximize("mean_return"),
        population=32,
        interval=10,
        budget=hd.Steps(updates),
        name="cartpole-ppo",
        storage=storage,
        seed=0,
    )
    result = study.run()
    best = result.best
    held_out = float(evaluate(best.load(), best.hparams, jax.random.key(1983), episodes=100))
    print(f"mean return of the best over 100 held-out episodes: {held_out:.1f} of {LIMIT}")
    print(result.schedule())
    return held_out


if __name__ == "__main__":
    main(updates=20 if "--quick" in sys.argv else 100)
