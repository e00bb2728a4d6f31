/** Resolves with what has been read, or, where another API's consumer has to read it, with the error or undefined. */
type RoundTrip = (topic: string) => Promise<unknown>
/** Resolves with what polls. */
type Consumer = (topic: string, instance: string) => Promise<() => Promise<readonly string[] | undefined>>
type Api = 'kafkaPixy' | 'confluentV2' | 'confluentV3' | 'strimzi' | 'arion' | 'kprf' | 'cloudEvents'

/** Prints what each API's record was when it was read back: that of an API without a consumer, by Confluent's. */
export async function told(
  apis: Readonly<
    Record<Api, RoundTrip> & Record<'confluentConsumer' | 'strimziConsumer', Consumer> & { queues?: RoundTrip }
  >
): Promise<void> {
  const { confluentConsumer, strimziConsumer, ...produce } = apis
  const read: Record<string, unknown> = {}
  for (const [api, roundTrip] of Object.entries(produce)) {
    const topic = `${process.argv[3]}-${api}`
    const consume = api === 'strimzi' ? strimziConsumer : confluentConsumer
    read[api] = await roundTrip(topic)
      .then(async found => {
        if (found !== undefined) return found
        const poll = await consume(topic, 'one')
        for (let polls = 0; polls < 20; polls++) {
          const values = await poll()
          if (values === undefined || values.length > 0) return values?.[0]
        }
        return 'no record'
      })
      .catch(String)
  }
  console.log(JSON.stringify(read))
}
