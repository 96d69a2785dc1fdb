"""Forward models: how two layers mix to a frame, and how a residual is distributed over them.

One file holds one equation. All have the interface of
:class:`stages.mixing.forward_model.ForwardModel`, and one contract test runs over all of them.

| model | equation | tasks |
|---|---|---|
| :class:`stages.mixing.encoded_dissolve.EncodedDissolve` | (1 - w) A + w B | transition |
| :class:`stages.mixing.light_dissolve.LightDissolve` | the same in light | transition |
| :class:`stages.mixing.matte_composite.MatteComposite` | m F + (1 - m) B | segment |
| :class:`stages.mixing.haze.Haze` | t J + (1 - t) A | dehaze |
| :class:`stages.mixing.watermark_composite.WatermarkComposite` | m W + (1 - m) C | watermark |
| :class:`stages.mixing.layer_sum.LayerSum` | T + R | transparency |
"""
