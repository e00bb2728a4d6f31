import { expect } from 'chai'
import { ClusterIdentity } from '../../../src/router/routing/cluster-identity.js'

describe('which cluster is connected', () => {
  let cluster: ClusterIdentity
  beforeEach(() => (cluster = new ClusterIdentity()))

  it('is told by the first broker that names it, and by each that names another one', () => {
    expect([cluster.see(null), cluster.id]).to.deep.equal([undefined, undefined])
    expect(cluster.see('one')).to.deep.equal({ before: undefined, now: 'one' })
    expect(cluster.see('one')).to.equal(undefined)
    expect(cluster.see(null)).to.equal(undefined)
    expect(cluster.see('two')).to.deep.equal({ before: 'one', now: 'two' })
    expect(cluster.id).to.equal('two')
  })

  it('is the same for who names none, and for everybody as long as none is known', () => {
    expect([cluster.isSame(null), cluster.isSame('one')]).to.deep.equal([true, true])
    cluster.see('one')
    expect([cluster.isSame(null), cluster.isSame('one'), cluster.isSame('two')]).to.deep.equal([true, true, false])
  })
})
