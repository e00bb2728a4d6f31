import { expect } from 'chai'
import { calledApis } from '../../src/kafka/broker-client.js'
import { type Feature, features } from '../../src/kafka/features.js'

describe('features', () => {
  it('name each call that there is, and no other', () => {
    const named = new Set<string>(Object.values<Feature>(features).flatMap(({ calls }) => calls))
    expect([...named]).to.have.members(Object.keys(calledApis))
  })
})
