import { unheldAnswers } from '../../src/http/engine/response.js'

// In tests no answer above 8 KiB may leave that no budget holds: a door that forgets it is red in the first test in which it
// answers something large.
unheldAnswers.told = ({ method, url }, sizeBytes) => {
  throw new Error(`${method} ${url} is answered with ${sizeBytes} bytes that no budget holds`)
}
