// What docs/embedded-broker.md shows of testing with the embedded broker is a test itself: importing it registers it.
import '../../../examples/testing/order-counter.test.js'
