import { expect } from 'chai'
import { askAll, PeerError } from '../../../src/deployment/calls/peers.js'

/** Answers when the test says so. */
class Asked {
  readonly #open = new Map<string, { resolve(answer: number): void; reject(error: PeerError): void }>()

  readonly ask = (id: string): Promise<number> =>
    new Promise((resolve, reject) => this.#open.set(id, { resolve, reject }))

  answer(id: string, answer: number): void {
    this.#open.get(id)!.resolve(answer)
  }

  fail(id: string, error: PeerError): void {
    this.#open.get(id)!.reject(error)
  }
}

describe('asking several processes at the same time', () => {
  it('waits for all of them, and tells failures beside answers in the order in which they came', async () => {
    const asked = new Asked()
    const told = askAll(['a', 'b', 'c'], asked.ask)
    const error = new PeerError('it is gone')
    asked.answer('c', 3)
    asked.fail('a', error)
    asked.answer('b', 2)
    expect(await told).to.deep.equal([
      { by: 'c', answer: 3 },
      { by: 'a', error },
      { by: 'b', answer: 2 }
    ])
  })

  it('does not wait for the others after an answer that is enough', async () => {
    const asked = new Asked()
    const told = askAll(['a', 'b', 'c'], asked.ask, answer => answer > 1)
    asked.answer('b', 1)
    asked.answer('c', 2)
    expect(await told).to.deep.equal([
      { by: 'b', answer: 1 },
      { by: 'c', answer: 2 }
    ])
  })

  it('counts what looking at an answer throws as the error of its process', async () => {
    const asked = new Asked()
    const error = new Error('no sense')
    const told = askAll(['a', 'b'], asked.ask, answer => {
      if (answer === 1) throw error
      return true
    })
    asked.answer('a', 1)
    asked.answer('b', 2)
    expect(await told).to.deep.equal([
      { by: 'a', error },
      { by: 'b', answer: 2 }
    ])
  })

  it('ends at once where there is none', async () => {
    expect(await askAll([], new Asked().ask)).to.deep.equal([])
  })
})
