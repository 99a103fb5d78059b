# frozen_string_literal: true

# The handlers of template.yml. In a Rails app each would be a file in app/handlers/, and talk to
# ActiveRecord and to a payment gateway; here they only pretend, so that the example runs anywhere.
module OrderFulfillment
  CARTS = {
    "cart-7" => [
      { "sku" => "TEA-01", "quantity" => 2, "cents" => 640 },
      { "sku" => "CUP-11", "quantity" => 1, "cents" => 1250 }
    ]
  }.freeze
  STOCK = { "TEA-01" => 40, "CUP-11" => 3 }.freeze

  class FetchCart < TaskerCore::StepHandler
    def call(step)
      cart_id = step.input["cart_id"]
      items = CARTS.fetch(cart_id) do
        raise TaskerCore::PermanentError.new("there is no cart #{cart_id}", code: "CART_NOT_FOUND")
      end
      { items: items }
    end
  end

  class ValidateProducts < TaskerCore::StepHandler
    def call(step)
      items = step.dependency(:fetch_cart)["items"]
      missing = items.reject { |item| STOCK.fetch(item["sku"], 0) >= item["quantity"] }
      raise TaskerCore::PermanentError.new("out of stock: #{missing}", code: "OUT_OF_STOCK") if missing.any?

      { reserved: items.map { |item| item["sku"] } }
    end
  end

  class PriceOrder < TaskerCore::StepHandler
    def call(step)
      net = step.dependency(:fetch_cart)["items"].sum { |item| item["quantity"] * item["cents"] }
      tax = (net * step.config["tax_rate"]).round
      { net_cents: net, tax_cents: tax, total_cents: net + tax }
    end
  end

  # The gateway is busy the first time, as gateways are.
  class ChargePayment < TaskerCore::StepHandler
    def call(step)
      raise TaskerCore::RetryableError.new("gateway busy", retry_after: 0.2) if step.attempt == 1

      # The step's id is the same in every attempt: a good idempotency key.
      { receipt: "ch_#{step.step_uuid[-6..]}", charged_cents: step.dependency(:price_order)["total_cents"] }
    end
  end

  class FulfilOrder < TaskerCore::StepHandler
    def call(step)
      { shipment: "SHP-#{step.input['order_id']}" }
    end
  end

  class SendConfirmation < TaskerCore::StepHandler
    def call(step)
      cents = step.dependency(:charge_payment)["charged_cents"]
      { to: step.input["email"], subject: format("Your order, EUR %.2f", cents / 100.0) }
    end
  end
end
