import { expect } from 'chai'
import { type Departure, isRenumberedFor } from './departures.js'

const sent = (atMs: number, numbers: string, to = 'broker-1'): Departure => ({ from: 'service', to, atMs, numbers })
const mayDouble = isRenumberedFor(() => [50])

describe('simulation: what may double a record', () => {
  it('is other numbers after something that allows it, also when the old ones were tried once more', () => {
    expect(mayDouble([sent(10, 'a'), sent(60, 'b')])).to.equal(true)
    expect(mayDouble([sent(10, 'a'), sent(60, 'a'), sent(70, 'b')])).to.equal(true)
    expect(mayDouble([sent(10, 'a', 'broker-1'), sent(20, 'a', 'standby-2')]), 'another cluster').to.equal(true)
  })

  it('is nothing else: the same numbers, or other ones for no reason', () => {
    expect(mayDouble([])).to.equal(false)
    expect(mayDouble([sent(10, 'a'), sent(60, 'a', 'broker-2')])).to.equal(false)
    expect(mayDouble([sent(10, 'a'), sent(20, 'b')])).to.equal(false)
    expect(mayDouble([sent(60, 'a'), sent(70, 'b')])).to.equal(false)
  })
})
