import { expect } from 'chai'
import { Registry } from 'prom-client'
import { registerGauge } from '../../../src/core/metrics/prometheus.js'
import { renderingOf, SharedRendering } from '../../../src/http/exchange/shared-rendering.js'

const nextTurn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('a text that shows the present state', () => {
  it('is made once for all who ask in one turn', async () => {
    let made = 0
    const text = new SharedRendering(async () => Buffer.from(`${++made}`))
    const all = await Promise.all(Array.from({ length: 100 }, () => text.get()))
    expect(new Set(all).size).to.equal(1)
    expect(made).to.equal(1)
  })

  it('is never older than what who asks has done before', async () => {
    let state = 0
    const makings: (() => void)[] = []
    const text = new SharedRendering(async () => {
      const seen = state
      await new Promise<void>(resolve => makings.push(resolve))
      return Buffer.from(`${seen}`)
    })
    const first = text.get()
    while (makings.length === 0) await nextTurn()
    state = 1
    const late = [text.get(), text.get()]
    makings.shift()!()
    expect(`${await first}`).to.equal('0')
    while (makings.length === 0) await nextTurn()
    makings.shift()!()
    expect((await Promise.all(late)).map(String)).to.deep.equal(['1', '1'])
  })

  it('fails for those who have asked, and is made again for the next', async () => {
    let isBroken = true
    const text = new SharedRendering(async () => {
      if (isBroken) throw new Error('no')
      return Buffer.from('yes')
    })
    const failures = await Promise.all(
      [text.get(), text.get()].map(asked => asked.catch((error: Error) => error.message))
    )
    expect(failures).to.deep.equal(['no', 'no'])
    isBroken = false
    expect(`${await text.get()}`).to.equal('yes')
  })

  it('is what the package for metrics makes, where it is that of a registry', async () => {
    const registry = new Registry()
    for (const name of ['castellan_a', 'castellan_b']) registerGauge(registry, name, 'Help', () => 7)
    expect(`${await renderingOf(registry).get()}`).to.equal(await registry.metrics())
    expect(renderingOf(registry)).to.equal(renderingOf(registry))
  })
})
