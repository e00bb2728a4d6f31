import { expect } from 'chai'
import { onAbort } from '../../src/core/ending.js'

describe('what is called back when a signal is aborted', () => {
  let stop: AbortController
  let called: string[]
  const call = (name: string) => (): void => void called.push(name)
  beforeEach(() => {
    stop = new AbortController()
    called = []
  })
  afterEach(() => process.setUncaughtExceptionCaptureCallback(null))

  it('is called once, in the order in which it was added, and at once after the abort', () => {
    for (const name of ['a', 'b', 'c']) onAbort(stop.signal, call(name))
    stop.abort()
    stop.abort()
    onAbort(stop.signal, call('d'))
    expect(called.join('')).to.equal('abcd')
  })

  it('is not called when it has left before, or is left by one that is called first', () => {
    const leaveFirst = onAbort(stop.signal, call('left before'))
    const leaving: (() => void)[] = []
    onAbort(stop.signal, () => {
      called.push('a')
      for (const leave of leaving) leave()
    })
    leaving.push(onAbort(stop.signal, call('left by a')))
    onAbort(stop.signal, call('b'))
    leaveFirst()
    leaveFirst()
    stop.abort()
    expect(called).to.deep.equal(['a', 'b'])
  })

  it('is called although one before has thrown, whose error comes in a later tick', async () => {
    const errors: unknown[] = []
    process.setUncaughtExceptionCaptureCallback(error => errors.push(error))
    const fail = (error: string) => (): void => {
      throw error
    }
    for (const callback of [fail('first'), call('a'), fail('second'), call('b')]) onAbort(stop.signal, callback)
    stop.abort()
    expect([called, errors]).to.deep.equal([['a', 'b'], []])
    await new Promise(setImmediate)
    expect(errors).to.deep.equal(['first', 'second'])
  })

  it('is one listener of the signal, however many there are, and none when all have left', () => {
    const listeners: string[] = []
    const { signal } = stop
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
    signal.addEventListener = (type: string, listener: never) => {
      listeners.push('+')
      add(type, listener)
    }
    signal.removeEventListener = (type: string, listener: never) => {
      listeners.push('-')
      remove(type, listener)
    }
    const leaves = ['a', 'b'].map(name => onAbort(signal, call(name)))
    for (const leave of leaves) leave()
    onAbort(signal, call('c'))
    expect(listeners.join('')).to.equal('+-+')
    stop.abort()
    expect(called).to.deep.equal(['c'])
  })
})
